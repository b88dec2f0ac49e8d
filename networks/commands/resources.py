"""Write what a job has read from Neutron to the synced resources, so that pages show it before the next sync."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from cloudaccounts.models import CloudResource
from cloudaccounts.registry import ListedResource, find_syncer
from cloudaccounts.sync.resource_writer import write_resources
from tasks.clock import database_now

Place = tuple[int, str]


def convert_record(type_code: str, record: Any) -> dict[str, Any]:
    """Convert a record of Neutron's to the JSON of a resource, for a job's data."""
    syncer: Any = find_syncer("openstack", type_code)
    return asdict(syncer.convert(record))


def record_resources(
    place: Place, type_code: str, found: Iterable[Mapping[str, Any]]
) -> list[ListedResource]:
    """Write resources that `convert_record` has made, and return them. `place` is an account's key and a region."""
    listed = [ListedResource.from_json(dict(values)) for values in found]
    if listed:
        write_resources((*place, type_code), listed, database_now())
    return listed


def record_ports(place: Place, server_id: str, found: Sequence[Mapping[str, Any]]) -> None:
    """Write the ports of a server, and let those that it no longer has expire."""
    listed = record_resources(place, "port", found)
    account_id, region = place
    CloudResource.objects.filter(
        account=account_id,
        region=region,
        type="port",
        links__target_type="server",
        links__target_cloud_id=server_id,
    ).exclude(cloud_id__in=[port.cloud_id for port in listed]).expire()


def expire_resource(place: Place, type_code: str, cloud_id: str | None) -> None:
    """Let the synced resource of a deleted object expire, so that nothing offers it any more."""
    account_id, region = place
    CloudResource.objects.filter(
        account=account_id, region=region, type=type_code, cloud_id=cloud_id or ""
    ).expire()
