"""Columns of rows from what the cloud reports, as a sync or a job has read it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def security_group_columns(name: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a security group that follow the cloud."""
    return {
        "name": name[:255],
        "description": str(attributes.get("description") or "")[:255],
        "rules": list(attributes.get("rule_list") or []),
    }


def floating_ip_columns(
    address: str, attributes: Mapping[str, Any], links: Iterable[tuple[str, str]]
) -> dict[str, Any]:
    """Return the columns of a floating IP that follow the cloud. `links` are types and ids of what it leads to."""
    targets = dict(links)
    return {
        "address": address or None,
        "description": str(attributes.get("description") or "")[:255],
        "fixed_address": str(attributes.get("fixed_address") or "")[:64],
        "network_id": targets.get("network", "")[:64],
        "port_id": targets.get("port", "")[:64],
        "server_id": targets.get("server", "")[:64],
    }
