"""List what carries the portal's tag or marker in a region: servers, volumes, what the portal makes in Neutron, and server groups.

All functions yield pages of one kind, and raise `CloudError`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings

from cloudaccounts.models import CloudAccount
from cloudaccounts.owner_metadata import read_owner
from networks.markers import read_row_id
from networks.models import FloatingIp, SecurityGroup, ServerGroup
from openstack_client import Cloud

from ..models import Orphan, VmPort

_VM_TAG = "portal-vm-"
_MARKER_IN_NAME = re.compile(r"\[([^\[\]]+)\]$")


@dataclass(frozen=True, slots=True)
class TaggedObject:
    """An object that carries the portal's tag or marker, and the id of the row that it was created for."""

    kind: str
    cloud_id: str
    name: str
    row_id: str
    created_at: datetime | None
    # The information system that its metadata names, "" for none.
    owner_id: str = ""


def list_servers_and_volumes(cloud: Cloud, _account: CloudAccount) -> Iterator[list[TaggedObject]]:
    """Yield the servers and volumes that carry the portal's tag."""
    for servers in cloud.compute.server_pages(tag=settings.CLOUD_TAG):
        yield [
            TaggedObject(
                Orphan.Kind.SERVER,
                server.id,
                server.name,
                next((tag.removeprefix(_VM_TAG) for tag in server.tags if tag.startswith(_VM_TAG)), ""),
                server.created_at,
                read_owner(server.metadata),
            )
            for server in servers
        ]
    for volumes in cloud.block_storage.volume_pages(metadata={"portal": settings.CLOUD_TAG}):
        yield [
            TaggedObject(
                Orphan.Kind.VOLUME,
                volume.id,
                volume.name,
                volume.metadata.get("portal_volume", ""),
                volume.created_at,
                read_owner(volume.metadata),
            )
            # A Cinder whose policy disables the filter lists all volumes.
            for volume in volumes
            if volume.metadata.get("portal") == settings.CLOUD_TAG
        ]


def list_neutron_objects(cloud: Cloud, account: CloudAccount) -> Iterator[list[TaggedObject]]:
    """Yield the ports, security groups and floating IPs that carry the portal's marker and are not in use."""
    used_groups: set[str] = set()
    for ports in cloud.network.port_pages():
        used_groups.update(group_id for port in ports for group_id in port.security_group_ids)
        unused = [port for port in ports if not port.device_id]
        yield select_marked(Orphan.Kind.PORT, VmPort.lock_name, unused, cloud, account)
    for groups in cloud.network.security_group_pages():
        unused_groups = [group for group in groups if group.id not in used_groups]
        yield select_marked(
            Orphan.Kind.SECURITY_GROUP, SecurityGroup.lock_name, unused_groups, cloud, account
        )
    for addresses in cloud.network.floating_ip_pages():
        detached = [address for address in addresses if not address.port_id]
        yield select_marked(Orphan.Kind.FLOATING_IP, FloatingIp.lock_name, detached, cloud, account)


def list_server_groups(
    cloud: Cloud, _account: CloudAccount, *, with_members: bool = False
) -> Iterator[list[TaggedObject]]:
    """Yield the server groups whose name ends with the portal's marker, by default those that have no members.

    Nova tells no time of creation.
    """
    found = []
    for group in cloud.compute.list_server_groups():
        marker = _MARKER_IN_NAME.search(group.name)
        row_id = read_row_id(ServerGroup.lock_name, marker[1]) if marker else None
        is_own = row_id is not None and group.project_id in {None, cloud.project_id}
        if is_own and (with_members or not group.member_ids):
            found.append(TaggedObject(Orphan.Kind.SERVER_GROUP, group.id, group.name, str(row_id), None))
    yield found


def select_marked(
    kind: str, lock_name: str, records: Iterable[Any], cloud: Cloud, account: CloudAccount
) -> list[TaggedObject]:
    """Return the objects that this installation has created in the account's project.

    Neutron lists the objects of all projects to administrators. An object that is older than its account was created through
    an account that was deleted since, and whoever deletes an account forgets its networks, which the cloud keeps.
    """
    # Neutron tells whole seconds: what was created in the account's first second is not older than the account.
    oldest = account.created_at.replace(microsecond=0)
    found = []
    for record in records:
        row_id = read_row_id(lock_name, record.marker)
        if row_id is None or record.project_id not in {None, cloud.project_id}:
            continue
        if record.created_at is None or record.created_at >= oldest:
            name = record.address if kind == Orphan.Kind.FLOATING_IP else record.name
            found.append(TaggedObject(kind, record.id, name, row_id, record.created_at))
    return found


ListObjects = Callable[[Cloud, CloudAccount], Iterator[list[TaggedObject]]]
LISTINGS: tuple[tuple[Collection[str], ListObjects], ...] = (
    ((Orphan.Kind.SERVER, Orphan.Kind.VOLUME), list_servers_and_volumes),
    ((Orphan.Kind.PORT, Orphan.Kind.SECURITY_GROUP, Orphan.Kind.FLOATING_IP), list_neutron_objects),
    ((Orphan.Kind.SERVER_GROUP,), list_server_groups),
)
