from django.urls import path

from . import views
from .views.networks import (
    FloatingIpAttachView,
    FloatingIpDetachView,
    VmInterfacesView,
    VmInterfaceView,
    VmReachabilityView,
    VmSecurityGroupsView,
)

urlpatterns = [
    path(
        "cloud-accounts/<int:pk>/unmanaged/",
        views.UnmanagedResourceListView.as_view(),
        name="cloud-account-unmanaged",
    ),
    path("cloud-accounts/<int:pk>/adopt/", views.AdoptView.as_view(), name="cloud-account-adopt"),
    path("ssh-keys/", views.SSHKeyListView.as_view(), name="ssh-key-list"),
    path("ssh-keys/<uuid:pk>/", views.SSHKeyDetailView.as_view(), name="ssh-key-detail"),
    path("user-data-templates/", views.UserDataTemplateListView.as_view(), name="user-data-template-list"),
    path(
        "user-data-templates/<uuid:pk>/",
        views.UserDataTemplateDetailView.as_view(),
        name="user-data-template-detail",
    ),
    path("floating-ips/<uuid:pk>/attach/", FloatingIpAttachView.as_view(), name="floating-ip-attach"),
    path("floating-ips/<uuid:pk>/detach/", FloatingIpDetachView.as_view(), name="floating-ip-detach"),
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
    path("vms/<uuid:pk>/interfaces/", VmInterfacesView.as_view(), name="vm-interfaces"),
    path("vms/<uuid:pk>/interfaces/<uuid:port_pk>/", VmInterfaceView.as_view(), name="vm-interface"),
    path("vms/<uuid:pk>/reachability/", VmReachabilityView.as_view(), name="vm-reachability"),
    path("vms/<uuid:pk>/security-groups/", VmSecurityGroupsView.as_view(), name="vm-security-groups"),
    path("vms/<uuid:pk>/move/", views.VmMoveView.as_view(), name="vm-move"),
    path("vms/<uuid:pk>/operations/", views.VmOperationsView.as_view(), name="vm-operations"),
    path("vms/<uuid:pk>/password/", views.VmPasswordView.as_view(), name="vm-password"),
    path("vms/<uuid:pk>/release/", views.VmReleaseView.as_view(), name="vm-release"),
    path("vms/<uuid:pk>/resize/", views.VmResizeView.as_view(), name="vm-resize"),
    path("vms/<uuid:pk>/restore/", views.VmRestoreView.as_view(), name="vm-restore"),
    path("vms/<uuid:pk>/snapshots/", views.VmSnapshotsView.as_view(), name="vm-snapshots"),
    path("vms/<uuid:pk>/user-data/", views.VmUserDataView.as_view(), name="vm-user-data"),
    path("vms/<uuid:pk>/volumes/", views.VmVolumesView.as_view(), name="vm-volumes"),
    path("vms/<uuid:pk>/volumes/<uuid:volume_pk>/", views.VmVolumeView.as_view(), name="vm-volume"),
]
