"""Rows of this room follow what the syncs of resources find."""
