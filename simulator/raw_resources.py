"""Resources with unusual fields, as broken or newer clouds show them: for tests of clients."""

from __future__ import annotations

from typing import Any

from .http_messages import bad_request
from .resource_factory import COLLECTION_NAMES, ResourceFactory
from .state import Region, Resource


def create_raw_resource(maker: ResourceFactory, kind: str, raw: Resource, name: str) -> str:
    """Create a settled resource with the fields of `raw` in place of its own, and return its id.

    Raises `HttpError` when it cannot be: an id that is no text or is taken.
    """
    if kind == "keypairs":
        raise bad_request("key pairs cannot be raw")
    resources: dict[str, Resource] = getattr(maker.region, COLLECTION_NAMES.get(kind, kind))
    wanted_id = raw.get("id")
    if wanted_id is not None and (not isinstance(wanted_id, str) or not wanted_id or wanted_id in resources):
        raise bad_request("the id of a raw object is a text that is not taken yet")
    resource_id = maker.create(kind, name)
    if wanted_id is not None:
        _rename(maker.region, resources, resource_id, wanted_id)
        resource_id = wanted_id
    overlay_fields(resources[resource_id], raw)
    return resource_id


def overlay_fields(resource: Resource, raw: Resource) -> None:
    """Put unusual fields on a resource.

    What could have been there goes in its place. The rest is only shown: the simulator itself goes on with sane values.
    """
    odd_fields: Resource = resource.setdefault("_raw", {})
    for name, value in raw.items():
        if name == "id":
            continue
        if _is_sane(resource, name, value):
            resource[name] = value
            odd_fields.pop(name, None)
        else:
            odd_fields[name] = value
    if not odd_fields:
        del resource["_raw"]


def _is_sane(resource: Resource, name: str, value: Any) -> bool:
    if name not in resource:
        # A property of an image, by which one may also filter.
        return isinstance(value, str)
    if isinstance(value, dict):
        return name == "metadata"
    return isinstance(value, str | int | bool) and type(value) is type(resource[name])


def _rename(region: Region, resources: dict[str, Resource], before: str, after: str) -> None:
    resource = resources.pop(before)
    resource["id"] = after
    resources[after] = resource
    network = region.networks.get(resource.get("network_id", ""))
    if network is not None and before in network["subnets"]:
        network["subnets"][network["subnets"].index(before)] = after
