"""Clouds to resource rows: the room's only reader of clouds."""
