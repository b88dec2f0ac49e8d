"""What a token's catalog says: which services are where."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# Where openstacksdk looks for a service, unless told otherwise.
_INTERFACES = {"public", "publicURL"}


def endpoints_of(access: Any) -> Iterator[tuple[str, str, bool]]:
    """(the service's official type, the region, whether it is for everybody) of each endpoint. The region may be "".

    `access` is keystoneauth's picture of a token. A catalog that calls block storage `volumev3` has `block-storage` here.
    """
    from os_service_types import ServiceTypes  # noqa: PLC0415 - reads its data; only who asks needs it.

    types = ServiceTypes()
    for service in access.service_catalog.catalog:
        said = str(service.get("type") or "")
        official = str(types.get_service_type(said) or said)
        for endpoint in service.get("endpoints") or ():
            region = endpoint.get("region_id") or endpoint.get("region") or ""
            if said:
                yield official, str(region), endpoint.get("interface") in _INTERFACES


def is_in_catalog(access: Any, service: str, region: str | None) -> bool:
    """Whether a service can be asked in a region, or in any of them when none is named."""
    return any(
        is_public and found == service and region in (None, where)
        for found, where, is_public in endpoints_of(access)
    )
