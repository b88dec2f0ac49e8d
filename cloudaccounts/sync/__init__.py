"""Syncs from clouds to resource rows. Only this package lists clouds for the room."""
