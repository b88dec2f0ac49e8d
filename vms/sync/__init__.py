"""Clouds to VM rows: the room's only reader of clouds."""
