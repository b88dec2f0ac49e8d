"""Volumes in the admin."""

from __future__ import annotations

from django.contrib import admin

from tasks.admin import ReadOnly

from .models import Volume


@admin.register(Volume)
class VolumeAdmin(ReadOnly):
    """Volumes of tenants. They are changed by commands alone."""

    list_display = [
        "name",
        "information_system",
        "account",
        "region",
        "size_gb",
        "status",
        "vm",
        "created_at",
    ]
    list_filter = ["status", "account", "source", "information_system__tenant"]
    search_fields = ["name", "=volume_id"]
    list_select_related = ["information_system", "account", "vm"]
    show_full_result_count = False
