from django.urls import path

from . import views

urlpatterns = [
    path(
        "cloud-accounts/<int:pk>/unmanaged/",
        views.UnmanagedResourceListView.as_view(),
        name="cloud-account-unmanaged",
    ),
    path("cloud-accounts/<int:pk>/adopt/", views.AdoptView.as_view(), name="cloud-account-adopt"),
    path("vms/", views.VmListView.as_view(), name="vm-list"),
    path("vms/actions/", views.VmBulkActionsView.as_view(), name="vm-bulk-actions"),
    path("vms/export/", views.VmExportView.as_view(), name="vm-export"),
    path("vms/options/", views.VmOptionsView.as_view(), name="vm-options"),
    path("vms/snapshots/", views.SnapshotListView.as_view(), name="snapshot-list"),
    path("vms/snapshots/<uuid:pk>/", views.SnapshotDetailView.as_view(), name="snapshot-detail"),
    path("vms/sync/", views.VmSyncView.as_view(), name="vm-sync"),
    path("vms/<uuid:pk>/", views.VmDetailView.as_view(), name="vm-detail"),
    path("vms/<uuid:pk>/actions/", views.VmActionsView.as_view(), name="vm-actions"),
    path("vms/<uuid:pk>/console/", views.VmConsoleView.as_view(), name="vm-console"),
    path("vms/<uuid:pk>/move/", views.VmMoveView.as_view(), name="vm-move"),
    path("vms/<uuid:pk>/operations/", views.VmOperationsView.as_view(), name="vm-operations"),
    path("vms/<uuid:pk>/release/", views.VmReleaseView.as_view(), name="vm-release"),
    path("vms/<uuid:pk>/rescue/", views.VmRescueView.as_view(), name="vm-rescue"),
    path("vms/<uuid:pk>/unrescue/", views.VmUnrescueView.as_view(), name="vm-unrescue"),
    path("vms/<uuid:pk>/rebuild/", views.VmRebuildView.as_view(), name="vm-rebuild"),
    path("vms/<uuid:pk>/migrate/", views.VmMigrateView.as_view(), name="vm-migrate"),
    path("vms/<uuid:pk>/evacuate/", views.VmEvacuateView.as_view(), name="vm-evacuate"),
    path("vms/<uuid:pk>/resize/", views.VmResizeView.as_view(), name="vm-resize"),
    path("vms/<uuid:pk>/restore/", views.VmRestoreView.as_view(), name="vm-restore"),
    path("vms/<uuid:pk>/snapshots/", views.VmSnapshotsView.as_view(), name="vm-snapshots"),
    path("vms/<uuid:pk>/volumes/", views.VmVolumesView.as_view(), name="vm-volumes"),
    path("vms/<uuid:pk>/volumes/<uuid:volume_pk>/", views.VmVolumeView.as_view(), name="vm-volume"),
]
