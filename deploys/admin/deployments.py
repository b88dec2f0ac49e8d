"""Deployments and their items in the admin, read-only."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from tasks.admin import ReadOnlyAdmin, ReadOnlyInline

from ..models import Deployment, DeploymentItem


class DeploymentItemInline(ReadOnlyInline):
    """The items of a deployment."""

    model = DeploymentItem
    fields = ["host_name", "batch", "result", "code", "message", "started_at", "ended_at"]


@admin.register(Deployment)
class DeploymentAdmin(ReadOnlyAdmin):
    """Upgrades and reverts."""

    list_display = [
        "service",
        "action",
        "from_version",
        "to_version",
        "operator",
        "batches",
        "created_at",
        "ended_at",
    ]
    list_filter = ["action", "service__information_system__tenant"]
    search_fields = ["service__name", "to_version__label", "operator__username"]
    list_select_related = ["service", "from_version__service", "to_version__service", "operator"]
    inlines = [DeploymentItemInline]
    show_full_result_count = False


@admin.register(DeploymentItem)
class DeploymentItemAdmin(ReadOnlyAdmin):
    """The result of each instance."""

    list_display = ["host_name", "deployment", "batch", "result", "code", "started_at", "ended_at"]
    list_filter = ["result", "code"]
    search_fields = ["host_name", "deployment__service__name"]
    list_select_related = ["deployment__service", "deployment__to_version"]
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeploymentItem]:
        """Return the items with the rows that the `__str__` of their deployment reads."""
        return super().get_queryset(request).select_related("deployment__service", "deployment__to_version")
