"""Volumes, pools and their spares in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from tasks.admin import ReadOnlyAdmin, ReadOnlyInline
from tasks.dispatch import dispatch_task

from .forms import VolumePoolForm
from .models import Claim, OrphanVolume, SpareVolume, Volume, VolumePool, VolumeSnapshot, VolumeSyncState
from .services.figures import PoolFigures, compute_figures
from .services.pools import request_backfill, request_reconciliation
from .services.volume_sync import accept_volume_losses


@admin.register(Volume)
class VolumeAdmin(ReadOnlyAdmin):
    """Volumes of tenants. They are changed by commands alone."""

    list_display = [
        "name",
        "information_system",
        "account",
        "region",
        "size_gb",
        "status",
        "source",
        "vm",
        "deletion_protection",
        "bin_until",
        "created_at",
    ]
    list_filter = [
        "status",
        "account",
        "source",
        "deletion_protection",
        ("bin_until", admin.EmptyFieldListFilter),
        "information_system__tenant",
    ]
    search_fields = ["name", "=volume_id"]
    list_select_related = ["information_system", "account", "vm"]
    show_full_result_count = False


@admin.register(VolumeSnapshot)
class VolumeSnapshotAdmin(ReadOnlyAdmin):
    """Snapshots of tenants' volumes. They are created and deleted by commands alone."""

    list_display = [
        "name",
        "volume",
        "information_system",
        "account",
        "region",
        "size_gb",
        "status",
        "created_at",
    ]
    list_filter = ["status", "account", "information_system__tenant"]
    search_fields = ["name", "=snapshot_id"]
    list_select_related = ["volume", "information_system", "account"]
    show_full_result_count = False


@admin.register(VolumeSyncState)
class VolumeSyncStateAdmin(ReadOnlyAdmin):
    """The freshness of the volumes of each account and region, and the confirmation of deletions on hold."""

    list_display = ["account", "region", "listed_at", "compared_at", "message", "losses_accepted"]
    list_filter = ["account"]
    list_select_related = ["account"]
    actions = ["confirm_deletions"]

    @admin.action(description=_("Confirm deletions on hold"), permissions=["accept"])
    def confirm_deletions(self, request: HttpRequest, states: QuerySet[VolumeSyncState]) -> None:
        """Let the next run mark every missing volume: a person has checked that they are gone."""
        count = accept_volume_losses(states)
        self.message_user(
            request, _("%(count)s regions will be synced, and their deletions confirmed.") % {"count": count}
        )

    def has_accept_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may change sync states in the admin."""
        return request.user.has_perm("volumepool.change_volumesyncstate")


class SpareInline(ReadOnlyInline):
    """The spares of a pool."""

    model = SpareVolume
    fields = ["name", "volume_id", "snapshot_id", "size_gb", "status", "created_at", "available_at"]


@admin.register(VolumePool)
class VolumePoolAdmin(admin.ModelAdmin[VolumePool]):
    """Pools with their figures."""

    list_display = [
        "type",
        "account",
        "region",
        "size_gb",
        "desired",
        "available",
        "creating",
        "claimed_today",
        "hit_rate",
        "misses",
        "seconds_saved",
        "suggested",
        "enabled",
        "paused_until",
        "last_error",
    ]
    list_filter = ["enabled", "account"]
    search_fields = ["type", "account__name"]
    list_select_related = ["account"]
    autocomplete_fields = ["account"]
    readonly_fields = [
        "history",
        "current_snapshot_id",
        "source_error",
        "paused_until",
        "last_error",
        "creation_seconds",
    ]
    form = VolumePoolForm
    inlines = [SpareInline]
    actions = ["refill_pools", "reconcile_pools"]

    def save_model(self, request: HttpRequest, obj: VolumePool, form: Any, change: bool) -> None:
        """Save the pool and request its reconciliation, which is followed by a backfill."""
        obj.version += change
        super().save_model(request, obj, form, change)
        request_reconciliation(obj)

    @admin.display(description=_("history"))
    def history(self, pool: VolumePool) -> str:
        """Return a link to the charts of the pool's page."""
        if pool.pk is None:
            return "-"
        return format_html(
            '<a href="{}">{}</a>', reverse("pool-detail-page", args=[pool.pk]), _("View history")
        )

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Return the list, with the figures of its pools computed at once."""
        changes = super().get_changelist_instance(request)
        self._figures = compute_figures(list(changes.result_list))
        return changes

    def _get_figures(self, pool: VolumePool) -> PoolFigures:
        return self._figures[pool.pk]

    @admin.display(description=_("available"))
    def available(self, pool: VolumePool) -> int:
        """Return the number of spares that can be claimed."""
        return self._get_figures(pool).available

    @admin.display(description=_("creating"))
    def creating(self, pool: VolumePool) -> int:
        """Return the number of spares that are being created."""
        return self._get_figures(pool).creating

    @admin.display(description=_("claimed today"))
    def claimed_today(self, pool: VolumePool) -> int:
        """Return the number of volumes that were claimed today."""
        return self._get_figures(pool).claimed_today

    @admin.display(description=_("hit rate"))
    def hit_rate(self, pool: VolumePool) -> str:
        """Return the share of recent claims that the pool served."""
        rate = self._get_figures(pool).hit_rate
        return "-" if rate is None else f"{100 * rate:.0f} %"

    @admin.display(description=_("misses"))
    def misses(self, pool: VolumePool) -> int:
        """Return the number of volumes that had to be created for a claim."""
        return self._get_figures(pool).misses

    @admin.display(description=_("seconds saved"))
    def seconds_saved(self, pool: VolumePool) -> float:
        """Return the waiting time that claims were saved."""
        return self._get_figures(pool).seconds_saved

    @admin.display(description=_("suggested"))
    def suggested(self, pool: VolumePool) -> str:
        """Return the suggested size of the pool."""
        return str(self._get_figures(pool).suggested or "-")

    @admin.action(description=_("Refill selected pools"), permissions=["change"])
    def refill_pools(self, request: HttpRequest, pools: QuerySet[VolumePool]) -> None:
        """Request a backfill of each pool."""
        for pool in pools:
            request_backfill(pool)
        self.message_user(request, _("Checking %(count)s pools.") % {"count": len(pools)})

    @admin.action(description=_("Reconcile selected pools"), permissions=["change"])
    def reconcile_pools(self, request: HttpRequest, pools: QuerySet[VolumePool]) -> None:
        """Request the reconciliation of the pools' accounts and regions."""
        regions = set(pools.order_by().values_list("account_id", "region"))
        dispatch_task("volumepool.reconcile", *regions)
        self.message_user(request, _("Reconciling %(count)s pools.") % {"count": len(pools)})


@admin.register(Claim)
class ClaimAdmin(ReadOnlyAdmin):
    """Claims of volumes from pools."""

    list_display = ["at", "pool", "taken", "made", "seconds_saved"]
    list_filter = ["pool__type"]
    list_select_related = ["pool__account"]
    date_hierarchy = "at"
    show_full_result_count = False


@admin.register(OrphanVolume)
class OrphanVolumeAdmin(ReadOnlyAdmin):
    """Volumes that carry the pools' metadata and belong to no row."""

    list_display = [
        "name",
        "volume_id",
        "account",
        "region",
        "status",
        "seen",
        "first_seen_at",
        "last_seen_at",
    ]
    list_filter = ["account", "status"]
    list_select_related = ["account"]
