from django.urls import path

from . import views

urlpatterns = [
    path("volumes/", views.VolumeList.as_view(), name="volume-list"),
    path("volumes/options/", views.VolumeOptions.as_view(), name="volume-options"),
    path("volumes/snapshots/", views.VolumeSnapshotList.as_view(), name="volume-snapshot-list"),
    path("volumes/snapshots/<uuid:pk>/", views.VolumeSnapshotDetail.as_view(), name="volume-snapshot-detail"),
    path("volumes/<uuid:pk>/", views.VolumeDetail.as_view(), name="volume-detail"),
    path("volumes/<uuid:pk>/actions/", views.VolumeActions.as_view(), name="volume-actions"),
    path("volume-pools/", views.PoolList.as_view(), name="volume-pool-list"),
    path("volume-pools/<int:pk>/", views.PoolDetail.as_view(), name="volume-pool-detail"),
    path("volume-pools/<int:pk>/history/", views.PoolHistory.as_view(), name="volume-pool-history"),
    path("volume-pools/<int:pk>/spares/", views.PoolSpares.as_view(), name="volume-pool-spares"),
    path("volume-pools/<int:pk>/backfill/", views.PoolBackfill.as_view(), name="volume-pool-backfill"),
    path("volume-pools/<int:pk>/reconcile/", views.PoolReconcile.as_view(), name="volume-pool-reconcile"),
]
