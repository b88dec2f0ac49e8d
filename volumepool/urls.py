from django.urls import path

from . import views

urlpatterns = [
    path("volumes/", views.VolumeListView.as_view(), name="volume-list"),
    path("volumes/options/", views.VolumeOptionsView.as_view(), name="volume-options"),
    path("volumes/snapshots/", views.VolumeSnapshotListView.as_view(), name="volume-snapshot-list"),
    path(
        "volumes/snapshots/<uuid:pk>/",
        views.VolumeSnapshotDetailView.as_view(),
        name="volume-snapshot-detail",
    ),
    path("volumes/<uuid:pk>/", views.VolumeDetailView.as_view(), name="volume-detail"),
    path("volumes/<uuid:pk>/actions/", views.VolumeActionsView.as_view(), name="volume-actions"),
    path("volumes/<uuid:pk>/restore/", views.VolumeRestoreView.as_view(), name="volume-restore"),
    path("volume-pools/", views.PoolListView.as_view(), name="volume-pool-list"),
    path("volume-pools/<int:pk>/", views.PoolDetailView.as_view(), name="volume-pool-detail"),
    path("volume-pools/<int:pk>/history/", views.PoolHistoryView.as_view(), name="volume-pool-history"),
    path("volume-pools/<int:pk>/spares/", views.PoolSparesView.as_view(), name="volume-pool-spares"),
    path("volume-pools/<int:pk>/backfill/", views.PoolBackfillView.as_view(), name="volume-pool-backfill"),
    path("volume-pools/<int:pk>/reconcile/", views.PoolReconcileView.as_view(), name="volume-pool-reconcile"),
]
