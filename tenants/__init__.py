"""Tenants, their members and information systems, and the separation of tenants."""
