"""Neutron: the check of a request's fields before anything is looked up, in the words of its API."""

from __future__ import annotations

import ipaddress
import uuid
from typing import Any

from .neutron_lookup import neutron_error
from .state import Resource

_REQUIRED = {
    "floatingips": "floating_network_id",
    "ports": "network_id",
    "security-group-rules": "direction",
    "subnets": "network_id",
}
_IDS = {
    "floatingips": ("floating_network_id", "port_id", "subnet_id"),
    "ports": ("network_id",),
    "subnets": ("network_id",),
}


def check_required(plural: str, requested: Resource) -> None:
    """Raise `HttpError` 400 for a new resource without a field that its kind needs."""
    name = _REQUIRED.get(plural)
    if name is not None and name not in requested:
        message = f"Failed to parse request. Required attribute '{name}' not specified"
        raise neutron_error(400, "HTTPBadRequest", message)


def check_attributes(plural: str, requested: Resource) -> None:
    """Raise `HttpError` 400 for the first field whose value cannot be one of its kind."""
    for name in _IDS.get(plural, ()):
        _check_id(name, requested.get(name))
    if plural == "floatingips":
        _check_address("fixed_ip_address", requested.get("fixed_ip_address"))
    if plural == "ports":
        groups = requested.get("security_groups")
        if groups is not None and not isinstance(groups, list):
            raise _refuse("security_groups", f"'{groups}' is not a list.")
        for group_id in groups or ():
            _check_id("security_groups", group_id)
        _check_fixed_ips(requested.get("fixed_ips"))


def _check_fixed_ips(fixed_ips: Any) -> None:
    if fixed_ips is None:
        return
    if not isinstance(fixed_ips, list) or not all(isinstance(one, dict) for one in fixed_ips):
        raise _refuse("fixed_ips", f"Invalid data format for fixed IP: '{fixed_ips}'.")
    for one in fixed_ips:
        _check_address("fixed_ips", one.get("ip_address"))
        _check_id("fixed_ips", one.get("subnet_id"))


def _check_id(name: str, value: Any) -> None:
    if value is None:
        return
    try:
        uuid.UUID(value)
    except (ValueError, AttributeError, TypeError):
        raise _refuse(name, f"'{value}' is not a valid UUID.") from None


def _check_address(name: str, value: Any) -> None:
    if value is None:
        return
    try:
        ipaddress.ip_address(str(value))
    except ValueError:
        raise _refuse(name, f"'{value}' is not a valid IP address.") from None


def _refuse(name: str, reason: str) -> Exception:
    return neutron_error(400, "HTTPBadRequest", f"Invalid input for {name}. Reason: {reason}")
