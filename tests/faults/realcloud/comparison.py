"""The comparison of the rows with the real cloud: what differs, and what in the cloud belongs to no row."""

from __future__ import annotations

from django.conf import settings

from cloudaccounts.connect import open_cloud
from openstack_client import CloudNotFoundError
from tests.listings import read_all_pages
from vms.models import VM_STATUS_BY_SERVER_STATUS, VirtualMachine, VMSnapshot
from volumepool.models import GONE, Volume

from .fleet import Fleet


def find_differences(fleet: Fleet) -> list[str]:
    """Return a sentence for each row that differs from the cloud."""
    account = fleet.account
    found = []
    for region in _regions(fleet):
        cloud = open_cloud(account, region)
        servers = {server.id: server for server in cloud.compute.list_servers()}
        for vm in VirtualMachine.objects.filter(account=account, region=region):
            server = servers.get(vm.openstack_id or "")
            server_status = VM_STATUS_BY_SERVER_STATUS.get(server.status) if server else None
            if server is None and vm.status not in {"removed", "error"}:
                found.append(
                    f"VM {vm.name} ({vm.pk}) is '{vm.status}', and there is no server {vm.openstack_id}"
                )
            elif server is not None and server_status != vm.status:
                found.append(
                    f"VM {vm.name} is '{vm.status}', its server {server.id} {server.status} {server.task_state}"
                )
        volumes = {volume.id: volume for volume in read_all_pages(cloud.block_storage.volume_pages())}
        for row in Volume.objects.filter(account=account, region=region).select_related("vm"):
            volume = volumes.get(row.volume_id or "")
            if volume is None:
                if row.status != GONE:
                    found.append(f"volume {row.name} is '{row.status}', and Cinder has no {row.volume_id}")
                continue
            server_id = volume.server_ids[0] if volume.server_ids else None
            row_server = row.vm.openstack_id if row.vm else None
            if (row.status, row.size_gb) != (volume.status, volume.size_gb) or row_server != server_id:
                found.append(
                    f"volume {row.name} is '{row.status}' on {row_server}, Cinder's {volume.id} '{volume.status}' on {server_id}"
                )
            nova_server_ids = [key for key, server in servers.items() if volume.id in server.volume_ids]
            if nova_server_ids != ([server_id] if server_id else []) and not row.views_differ:
                found.append(
                    f"volume {row.name} is on {nova_server_ids} by Nova, on {server_id} by Cinder: the row hides that"
                )
        for snapshot in VMSnapshot.objects.filter(account=account, region=region):
            try:
                status = cloud.image.get_image(snapshot.image_id or "-").status
            except CloudNotFoundError:
                status = "gone"
            if status != snapshot.status:
                found.append(f"snapshot {snapshot.name} is '{snapshot.status}', its image '{status}'")
    return found


def find_leftovers(fleet: Fleet) -> list[str]:
    """Return a line for each object that carries the portal's marks, belongs to no row and is newer than the campaign."""
    found: list[str] = []
    for region in _regions(fleet):
        cloud = open_cloud(fleet.account, region)
        bound = set(VirtualMachine.objects.values_list("openstack_id", flat=True))
        found += [
            f"server {server.id} {server.status} {server.task_state}"
            for server in cloud.compute.find_servers_by_tag(settings.CLOUD_TAG)
            if server.id not in bound
        ]
        volumes = set(Volume.objects.values_list("volume_id", flat=True))
        found += [
            f"volume {volume.id} '{volume.status}' on {volume.server_ids}"
            for volume in cloud.block_storage.find_volumes_by_metadata({"portal": settings.CLOUD_TAG})
            if volume.id not in volumes
        ]
        images = set(VMSnapshot.objects.values_list("image_id", flat=True))
        found += [
            f"image {image.id} '{image.status}'"
            for image in cloud.image.find_images_by_property("portal", settings.CLOUD_TAG)
            if image.id not in images
        ]
    return [line for line in found if line.split()[1] not in fleet.left_before]


def _regions(fleet: Fleet) -> list[str]:
    vms = VirtualMachine.objects.filter(account=fleet.account).order_by()
    volumes = Volume.objects.filter(account=fleet.account).order_by()
    return sorted({*vms.values_list("region", flat=True), *volumes.values_list("region", flat=True)})
