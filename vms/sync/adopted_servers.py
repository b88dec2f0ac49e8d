"""Adopt the existing servers of a cloud as VMs of information systems."""

from __future__ import annotations

from collections.abc import Callable

from django.db import transaction
from django.utils import timezone

from cloudaccounts.connect import open_cloud
from cloudaccounts.models import CloudAccount
from openstack_client import Server
from tenants.models import InformationSystem

from ..models import SyncState, VirtualMachine, VMStatus, size_columns
from .server_columns import map_server_columns


def adopt_servers(
    *, account: CloudAccount, region: str, system_for: Callable[[int, str], InformationSystem | None]
) -> int:
    """Create a VM for every server that has none yet; return their number.

    `system_for(n, name)` returns the information system of the n-th server, or None to leave the server alone.
    Sizes are the flavor's, cut to what a VM may have. Raises `CloudError`.
    """
    state, _created = SyncState.objects.get_or_create(account=account, region=region)
    adopted = 0
    for page in open_cloud(account, region).compute.server_pages():
        known = set(
            VirtualMachine.objects.filter(openstack_id__in=[server.id for server in page]).values_list(
                "openstack_id", flat=True
            )
        )
        vms: list[VirtualMachine] = []
        for server in page:
            if server.id in known:
                continue
            system = system_for(adopted + len(vms), server.name)
            if system is not None:
                vms.append(_build_vm(server, system, state))
        with transaction.atomic():
            VirtualMachine.objects.bulk_create(vms, batch_size=1000)
        adopted += len(vms)
    return adopted


def _build_vm(server: Server, system: InformationSystem, state: SyncState) -> VirtualMachine:
    columns = map_server_columns(server)
    status = columns.status or VMStatus.UNKNOWN
    stopped = VirtualMachine.DesiredState.STOPPED
    return VirtualMachine(
        information_system=system,
        account=state.account,
        region=state.region,
        sync_state=state,
        name=(server.name or server.id)[:200],
        **size_columns(server.vcpus, server.memory_mb, server.disk_gb, server.flavor_name),
        availability_zone=(server.availability_zone or "")[:100],
        openstack_id=server.id,
        status=status,
        desired_state=stopped if status == VMStatus.STOPPED else VirtualMachine.DesiredState.RUNNING,
        ip_address=columns.ip_address,
        mac_address=columns.mac_address,
        addresses=columns.addresses,
        fault=columns.fault,
        moving=columns.moving,
        host=columns.host,
        observed_at=timezone.now(),
    )
