"""Addresses of the pages of volumes, their snapshots and pools."""

from django.urls import path

from . import pages

urlpatterns = [
    path("volumes/", pages.volume_page, name="volume-page"),
    path("volumes/new/", pages.new_volumes_page, name="volume-new"),
    path("volumes/<uuid:pk>/rename/", pages.rename_volume_page, name="volume-rename"),
    path("volumes/<uuid:pk>/extend/", pages.extend_volume_page, name="volume-extend"),
    path("volumes/<uuid:pk>/snapshot/", pages.snapshot_volume_page, name="volume-snapshot"),
    path("volumes/<uuid:pk>/remove/", pages.remove_volume_page, name="volume-remove"),
    path("volumes/<uuid:pk>/protection/", pages.protect_volume_page, name="volume-protection"),
    path("volumes/<uuid:pk>/restore/", pages.restore_volume_page, name="volume-restore-page"),
    path("volumes/<uuid:pk>/tags/", pages.change_volume_tags_page, name="volume-tags"),
    path("volumes/snapshots/", pages.volume_snapshot_page, name="volume-snapshot-page"),
    path("volumes/snapshots/<uuid:pk>/copy/", pages.copy_snapshot_page, name="volume-snapshot-copy"),
    path(
        "volumes/snapshots/<uuid:pk>/remove/",
        pages.remove_volume_snapshot_page,
        name="volume-snapshot-remove",
    ),
    path("pools/", pages.pool_page, name="pool-page"),
    path("pools/new/", pages.new_pool_page, name="pool-new"),
    path("pools/<int:pk>/", pages.pool_detail_page, name="pool-detail-page"),
    path("pools/<int:pk>/edit/", pages.edit_pool_page, name="pool-edit"),
    path("pools/<int:pk>/remove/", pages.remove_pool_page, name="pool-remove"),
    path("pools/<int:pk>/backfill/", pages.refill_pool_page, name="pool-backfill"),
    path("pools/<int:pk>/reconcile/", pages.reconcile_pool_page, name="pool-reconcile"),
]
