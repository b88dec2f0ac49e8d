"""Resources with invalid or unknown fields, as broken or newer clouds return them, for tests of clients."""

from __future__ import annotations

from typing import Any

from .http_messages import bad_request
from .resource_factory import COLLECTION_NAMES, ResourceFactory
from .state import Region, Resource


def create_raw_resource(factory: ResourceFactory, kind: str, raw: Resource, name: str) -> str:
    """Create a resource in its final state, with the fields of `raw` in place of its own; return its id.

    Raises `HttpError` for an id that is no text, or is taken.
    """
    if kind == "keypairs":
        raise bad_request("key pairs cannot be raw")
    resources: dict[str, Resource] = getattr(factory.region, COLLECTION_NAMES.get(kind, kind))
    requested_id = raw.get("id")
    if requested_id is not None and (
        not isinstance(requested_id, str) or not requested_id or requested_id in resources
    ):
        raise bad_request("the id of a raw object must be a text that is not in use")
    resource_id = factory.create(kind, name)
    if requested_id is not None:
        _rename(factory.region, resources, resource_id, requested_id)
        resource_id = requested_id
    overlay_fields(resources[resource_id], raw)
    return resource_id


def overlay_fields(resource: Resource, raw: Resource) -> None:
    """Set fields of any value on a resource.

    Valid values replace the real ones. Others are only shown, while the simulator works with the real ones.
    """
    raw_fields: Resource = resource.setdefault("_raw", {})
    for name, value in raw.items():
        if name == "id":
            continue
        if _is_valid(resource, name, value):
            resource[name] = value
            raw_fields.pop(name, None)
        else:
            raw_fields[name] = value
    if not raw_fields:
        del resource["_raw"]


def _is_valid(resource: Resource, name: str, value: Any) -> bool:
    if name not in resource:
        # A property of an image, by which listings can be filtered.
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
