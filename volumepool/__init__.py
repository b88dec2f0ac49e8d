"""Volumes of tenants, and pools of spare volumes."""
