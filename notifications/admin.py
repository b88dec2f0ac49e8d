"""Notifications in the admin, read-only: what is sent where is the tenants' own, and addresses are secrets."""

from __future__ import annotations

from django.contrib import admin

from tasks.admin import ReadOnlyAdmin

from .models import Delivery, Subscription, Webhook


@admin.register(Webhook)
class WebhookAdmin(ReadOnlyAdmin):
    """Webhooks of all tenants, without their URLs."""

    list_display = ("name", "tenant", "active", "failing_since", "delivered_at", "last_error")
    list_filter = ("active", ("failing_since", admin.EmptyFieldListFilter))
    list_select_related = ("tenant",)
    search_fields = ("name", "tenant__name")
    fields = (
        "name",
        "tenant",
        "codes",
        "active",
        "position",
        "attempts",
        "due_at",
        "failing_since",
        "last_error",
        "delivered_at",
        "switched_off_at",
        "created_at",
        "updated_at",
    )


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    """Deliveries of webhooks."""

    list_display = ("number", "code", "webhook", "status", "attempts", "response_status", "attempted_at")
    list_filter = ("status",)
    list_select_related = ("webhook",)
    search_fields = ("code", "webhook__name")
    ordering = ("-attempted_at",)
    show_full_result_count = False


@admin.register(Subscription)
class SubscriptionAdmin(ReadOnlyAdmin):
    """Subscriptions of all tenants, without their addresses."""

    list_display = (
        "name",
        "tenant",
        "user",
        "channel",
        "active",
        "failing_since",
        "delivered_at",
        "last_error",
    )
    list_filter = ("channel", "active", ("failing_since", admin.EmptyFieldListFilter))
    list_select_related = ("tenant", "user")
    search_fields = ("name", "tenant__name", "user__username")
    fields = (
        "name",
        "tenant",
        "user",
        "channel",
        "codes",
        "only_own",
        "timing",
        "quiet_from",
        "quiet_to",
        "active",
        "position",
        "due_at",
        "failing_since",
        "last_error",
        "delivered_at",
        "switched_off_at",
        "created_at",
        "updated_at",
    )
