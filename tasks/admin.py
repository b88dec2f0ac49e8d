"""The engine's tables in the admin, read-only. Their only buttons call services (see `pages/decisions.py`)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.urls import path
from django.utils.translation import gettext_lazy as _

from tenants.scoping import has_staff_permission

from . import schedule_admin  # noqa: F401 - importing registers the schedules.
from .engine import allowed_decisions
from .models import AsyncTask, EntityLock, Job, JobLogLine, Step
from .pages.decisions import make_decision
from .services import DECIDE_PERMISSION


class ReadOnlyAdmin(admin.ModelAdmin[Any]):
    """A read-only admin."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyInline(admin.TabularInline[Any, Any]):
    """A read-only table of related rows."""

    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class StepInline(ReadOnlyInline):
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


class LockInline(ReadOnlyInline):
    model = EntityLock
    fields = ["key", "created_at"]


class AsyncTaskInline(ReadOnlyInline):
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


class JobLogLineInline(ReadOnlyInline):
    model = JobLogLine
    fields = ["at", "level", "message"]


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    """Jobs with their steps, log lines, watches and locks."""

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
    fieldsets = [
        (None, {"fields": ["kind", "subject", "status", "outcome_code", "outcome_message"]}),
        (None, {"fields": ["tenant", "created_by", "created_at", "started_at", "ended_at", "deadline"]}),
        (
            _("Tree"),
            {"fields": ["parent", "parent_step", "position", "children_open", "optional", "permanent"]},
        ),
        (
            _("For staff"),
            {
                "fields": [
                    "traceback",
                    "params",
                    "data",
                    "retry_of",
                    "attended_at",
                    "cancel_requested_at",
                    "attempt",
                    "owner",
                    "lease_until",
                    "not_before",
                    "held",
                    "request_id",
                    "entity_type",
                    "entity_id",
                ]
            },
        ),
    ]
    inlines = [StepInline, JobLogLineInline, AsyncTaskInline, LockInline]

    def get_urls(self) -> list[Any]:
        """Return the routes of the queue page before the admin's own, which would take any path for a job's id."""
        decide = path("<uuid:pk>/decide/", admin.site.admin_view(self.decide), name="job-decide")
        return [decide, *super().get_urls()]

    def decide(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Carry out a decision from the page of a job, if staff may decide."""
        if not has_staff_permission(request.user, DECIDE_PERMISSION):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        job = make_decision(request, pk)
        return redirect("admin:tasks_job_change", job.pk if job is not None else pk)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show a job, with the decisions that are allowed now."""
        job = self.get_object(request, object_id)
        context = {
            "decisions": allowed_decisions(job) if job else [],
            "may_decide": has_staff_permission(request.user, DECIDE_PERMISSION),
        }
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **context})


@admin.register(EntityLock)
class EntityLockAdmin(ReadOnlyAdmin):
    """Locks of entities with the jobs that hold them."""

    list_display = ["key", "job", "created_at"]
    search_fields = ["key"]
    list_select_related = ["job"]


@admin.register(AsyncTask)
class AsyncTaskAdmin(ReadOnlyAdmin):
    """Watches of the poller."""

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
