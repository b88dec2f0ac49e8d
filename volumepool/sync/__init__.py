"""Clouds to volume rows: the room's only reader of clouds."""
