from django.urls import path

from . import views

urlpatterns = [
    path("vms/", views.VmList.as_view(), name="vm-list"),
    path("vms/actions/", views.VmBulkActions.as_view(), name="vm-bulk-actions"),
    path("vms/export/", views.VmExport.as_view(), name="vm-export"),
    path("vms/options/", views.VmOptions.as_view(), name="vm-options"),
    path("vms/snapshots/", views.SnapshotList.as_view(), name="snapshot-list"),
    path("vms/snapshots/<uuid:pk>/", views.SnapshotDetail.as_view(), name="snapshot-detail"),
    path("vms/sync/", views.VmSync.as_view(), name="vm-sync"),
    path("vms/<uuid:pk>/", views.VmDetail.as_view(), name="vm-detail"),
    path("vms/<uuid:pk>/actions/", views.VmActions.as_view(), name="vm-actions"),
    path("vms/<uuid:pk>/console/", views.VmConsole.as_view(), name="vm-console"),
    path("vms/<uuid:pk>/operations/", views.VmOperations.as_view(), name="vm-operations"),
    path("vms/<uuid:pk>/resize/", views.VmResize.as_view(), name="vm-resize"),
    path("vms/<uuid:pk>/snapshots/", views.VmSnapshots.as_view(), name="vm-snapshots"),
    path("vms/<uuid:pk>/volumes/", views.VmVolumes.as_view(), name="vm-volumes"),
    path("vms/<uuid:pk>/volumes/<uuid:volume_pk>/", views.VmVolume.as_view(), name="vm-volume"),
]
