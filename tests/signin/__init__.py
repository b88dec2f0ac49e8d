"""Tests of the room of signing in."""
