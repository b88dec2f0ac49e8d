"""Addresses of the pages of VMs and their snapshots."""

from django.urls import path

from . import pages

urlpatterns = [
    path("activity/", pages.activity_page, name="activity-page"),
    path("accounts/<int:pk>/adopt/", pages.adopt_page, name="account-adopt-page"),
    path("accounts/<int:pk>/unmanaged/", pages.unmanaged_page, name="account-unmanaged-page"),
    path("vms/", pages.vm_page, name="vm-page"),
    path("vms/ask/", pages.control_vms_page, name="vm-bulk-action"),
    path("vms/new/", pages.new_vm_page, name="vm-new"),
    path("vms/sync-now/", pages.sync_vms_now, name="vms-sync-now"),
    path("vms/<uuid:pk>/", pages.vm_detail_page, name="vm-detail-page"),
    path("vms/<uuid:pk>/ask/", pages.control_vm_page, name="vm-action"),
    path("vms/<uuid:pk>/change/", pages.change_vm_page, name="vm-change"),
    path("vms/<uuid:pk>/console/ask/", pages.read_console_page, name="vm-console-read"),
    path("vms/<uuid:pk>/log/", pages.operation_log_page, name="vm-log-page"),
    path("vms/<uuid:pk>/protection/", pages.protect_vm_page, name="vm-protection"),
    path("vms/<uuid:pk>/move/", pages.move_vm_page, name="vm-move-page"),
    path("vms/<uuid:pk>/release/", pages.release_vm_page, name="vm-release-page"),
    path("vms/<uuid:pk>/rescue/", pages.rescue_vm_page, name="vm-rescue-page"),
    path("vms/<uuid:pk>/rebuild/", pages.rebuild_vm_page, name="vm-rebuild-page"),
    path("vms/<uuid:pk>/migrate/", pages.migrate_vm_page, name="vm-migrate-page"),
    path("vms/<uuid:pk>/evacuate/", pages.evacuate_vm_page, name="vm-evacuate-page"),
    path("vms/<uuid:pk>/remove/", pages.remove_vm_page, name="vm-remove"),
    path("vms/<uuid:pk>/resize/", pages.resize_vm_page, name="vm-resize-page"),
    path("vms/<uuid:pk>/restore/", pages.restore_vm_page, name="vm-restore-page"),
    path("vms/<uuid:pk>/snapshots/", pages.take_snapshot_page, name="vm-snapshot-take"),
    path("vms/<uuid:pk>/volumes/", pages.attach_volume_page, name="vm-volume-attach"),
    path("vms/<uuid:pk>/volumes/new/", pages.attach_new_volume_page, name="vm-volume-new"),
    path(
        "vms/<uuid:pk>/volumes/<uuid:volume_pk>/detach/",
        pages.detach_volume_page,
        name="vm-volume-detach",
    ),
    path("snapshots/", pages.snapshot_page, name="snapshot-page"),
    path("snapshots/<uuid:pk>/remove/", pages.remove_snapshot_page, name="snapshot-remove"),
]
