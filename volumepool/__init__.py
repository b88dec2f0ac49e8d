"""Volumes, and spares of them kept ready."""
