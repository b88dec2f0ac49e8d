"""Read a token's catalog: services by region and interface."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .errors import CloudServiceMissingError
from .records.json_values import text

INTERFACES = ("public", "internal", "admin")
# The number of entries of a catalog that an error shows.
_MAX_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint of a service: its official type, its region ("" for none), its interface ("public", "internal", "admin")."""

    service: str
    region: str
    interface: str


def normalize_catalog(raw: Any) -> list[dict[str, Any]]:
    """Return the valid services of a catalog with their valid endpoints, each once.

    Keystoneauth does not check them: one malformed entry would make all others unusable.
    """
    services: list[dict[str, Any]] = []
    for service in raw if isinstance(raw, list) else []:
        if not isinstance(service, dict) or not text(service.get("type")):
            continue
        endpoints: list[dict[str, Any]] = []
        raw_endpoints = service.get("endpoints")
        for endpoint in raw_endpoints if isinstance(raw_endpoints, list) else []:
            if not isinstance(endpoint, dict) or not text(endpoint.get("url"), 2000):
                continue
            region = text(endpoint.get("region_id")) or text(endpoint.get("region"))
            normalized = {
                "url": endpoint["url"].strip(),
                "interface": (text(endpoint.get("interface")) or "").removesuffix("URL"),
                "region": region,
                "region_id": region,
                "id": text(endpoint.get("id")) or "",
            }
            if normalized["url"] and not any(
                {**known, "id": normalized["id"]} == normalized for known in endpoints
            ):
                endpoints.append(normalized)
        name = text(service.get("name")) or ""
        services.append({"type": text(service["type"]), "name": name, "id": "", "endpoints": endpoints})
    return services


def list_endpoints(access: Any) -> Iterator[Endpoint]:
    """Yield each endpoint of a token's catalog.

    `access` is keystoneauth's representation of a token. A catalog's `volumev3` is `block-storage` here.
    """
    from os_service_types import ServiceTypes  # noqa: PLC0415 - slow to import: it reads its data.

    types = ServiceTypes()
    for service in normalize_catalog(access.service_catalog.catalog):
        official = str(types.get_service_type(service["type"]) or service["type"])
        for endpoint in service["endpoints"]:
            yield Endpoint(official, endpoint["region"] or "", endpoint["interface"])


def check_service(access: Any, service: str, region: str | None, interface: str) -> None:
    """Require a service in a region and for an interface. Raises `CloudServiceMissingError`, which names what the catalog has.

    Without a region, any will do.
    """
    endpoints = list(list_endpoints(access))
    if any(
        endpoint.service == service and endpoint.interface == interface and region in (None, endpoint.region)
        for endpoint in endpoints
    ):
        return
    where = f"region {region}" if region else "any region"
    known = sorted(
        f"{endpoint.interface} in {endpoint.region or 'no region'}"
        for endpoint in endpoints
        if endpoint.service == service
    )
    if known:
        hint = (
            f"It has {', '.join(known[:_MAX_SHOWN])}: choose the account's interface and regions among these."
        )
    elif endpoints:
        services = sorted({endpoint.service for endpoint in endpoints})
        hint = f"It has {', '.join(services[:_MAX_SHOWN])}."
    else:
        hint = "It is empty: has the user a role in the project?"
    raise CloudServiceMissingError(
        f"The cloud has no {service} service with a {interface} endpoint in {where}, according to its catalog. {hint}"
    )
