"""Events in the admin, read-only."""

from __future__ import annotations

from django.contrib import admin

from tasks.admin import ReadOnlyAdmin

from .models import Event


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    """The audit log of all tenants and of the platform."""

    list_display = ("at", "tenant", "number", "code", "actor_name", "address", "object_type", "object_name")
    list_filter = ("actor_type", "object_type")
    list_select_related = ("tenant",)
    search_fields = ("code", "actor_name", "object_name", "object_id", "request_id")
    date_hierarchy = None
    ordering = ("-id",)
    show_full_result_count = False
