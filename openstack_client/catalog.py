"""Read a token's catalog: which services it has, in which region, for which interface."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .errors import CloudServiceMissingError
from .records.json_values import text

INTERFACES = ("public", "internal", "admin")
# The most that an error shows of a catalog.
_MOST_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint of a service: its official type, its region ("" for none), its interface ("public", "internal", "admin")."""

    service: str
    region: str
    interface: str


def normalize_catalog(raw: Any) -> list[dict[str, Any]]:
    """Return the valid services of a catalog with their valid endpoints, each once.

    Keystoneauth takes for granted that they are, and one that is not would keep us from all the others.
    """
    services: list[dict[str, Any]] = []
    for service in raw if isinstance(raw, list) else []:
        if not isinstance(service, dict) or not text(service.get("type")):
            continue
        endpoints: list[dict[str, Any]] = []
        said = service.get("endpoints")
        for endpoint in said if isinstance(said, list) else []:
            if not isinstance(endpoint, dict) or not text(endpoint.get("url"), 2000):
                continue
            region = text(endpoint.get("region_id")) or text(endpoint.get("region"))
            kept = {
                "url": endpoint["url"].strip(),
                "interface": (text(endpoint.get("interface")) or "").removesuffix("URL"),
                "region": region,
                "region_id": region,
                "id": text(endpoint.get("id")) or "",
            }
            if kept["url"] and not any({**one, "id": kept["id"]} == kept for one in endpoints):
                endpoints.append(kept)
        name = text(service.get("name")) or ""
        services.append({"type": text(service["type"]), "name": name, "id": "", "endpoints": endpoints})
    return services


def list_endpoints(access: Any) -> Iterator[Endpoint]:
    """Yield each endpoint of a token's catalog.

    `access` is keystoneauth's picture of a token. A catalog that calls block storage `volumev3` has `block-storage` here.
    """
    from os_service_types import ServiceTypes  # noqa: PLC0415 - reads its data; only who asks needs it.

    types = ServiceTypes()
    for service in normalize_catalog(access.service_catalog.catalog):
        official = str(types.get_service_type(service["type"]) or service["type"])
        for endpoint in service["endpoints"]:
            yield Endpoint(official, endpoint["region"] or "", endpoint["interface"])


def check_service(access: Any, service: str, region: str | None, interface: str) -> None:
    """Raise `CloudServiceMissingError`, with what the catalog has instead, unless it has a service in a region for an interface.

    Without a region, it may be in any.
    """
    endpoints = list(list_endpoints(access))
    if any(
        one.service == service and one.interface == interface and region in (None, one.region)
        for one in endpoints
    ):
        return
    where = f"region {region}" if region else "any region"
    known = sorted(
        {f"{one.interface} in {one.region or 'no region'}" for one in endpoints if one.service == service}
    )
    if known:
        has = f"It has {', '.join(known[:_MOST_SHOWN])}: choose the account's interface and regions among these."
    elif endpoints:
        services = sorted({one.service for one in endpoints})
        has = f"It has {', '.join(services[:_MOST_SHOWN])}."
    else:
        has = "It is empty: has the user a role in the project?"
    raise CloudServiceMissingError(
        f"The cloud has no {service} service with a {interface} endpoint in {where}, as its catalog says. {has}"
    )
