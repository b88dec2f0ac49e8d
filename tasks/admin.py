"""The engine's tables in the admin: to be read. What changes them is the engine."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from .models import AsyncTask, EntityLock, Job, JobLogLine, Step


class ReadOnly(admin.ModelAdmin[Any]):
    """Shows rows and changes none."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class _ReadOnlyRows(admin.TabularInline[Any, Any]):
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class StepRows(_ReadOnlyRows):
    model = Step
    fields = [
        "position",
        "name",
        "status",
        "progress",
        "message",
        "tries",
        "deadline",
        "started_at",
        "ended_at",
    ]


class LockRows(_ReadOnlyRows):
    model = EntityLock
    fields = ["key", "created_at"]


class AsyncTaskRows(_ReadOnlyRows):
    model = AsyncTask
    fields = [
        "step_name",
        "watcher",
        "scope",
        "object_id",
        "verdict",
        "last_status",
        "looks",
        "next_look_at",
        "ended_at",
    ]


class LineRows(_ReadOnlyRows):
    model = JobLogLine
    fields = ["at", "level", "message"]


@admin.register(Job)
class JobAdmin(ReadOnly):
    """Jobs with their steps, watches, locks and lines."""

    list_display = [
        "id",
        "kind",
        "subject",
        "status",
        "tenant",
        "created_by",
        "attempt",
        "created_at",
        "ended_at",
    ]
    list_filter = ["status", "kind", "tenant"]
    search_fields = ["=id", "subject", "=entity_id", "=request_id"]
    list_select_related = ["tenant", "created_by"]
    date_hierarchy = "created_at"
    show_full_result_count = False
    inlines = [StepRows, AsyncTaskRows, LockRows, LineRows]


@admin.register(EntityLock)
class EntityLockAdmin(ReadOnly):
    """Who is busy, and with what."""

    list_display = ["key", "job", "created_at"]
    search_fields = ["key"]
    list_select_related = ["job"]


@admin.register(AsyncTask)
class AsyncTaskAdmin(ReadOnly):
    """What is watched."""

    list_display = [
        "id",
        "watcher",
        "scope",
        "object_id",
        "verdict",
        "last_status",
        "looks",
        "next_look_at",
        "job",
    ]
    list_filter = ["verdict", "watcher"]
    search_fields = ["object_id", "=job__id"]
    list_select_related = ["job"]
    show_full_result_count = False
