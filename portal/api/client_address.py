"""Which address a request comes from, and which name an attempt to log in is counted under.

Of addresses, only what our own proxies wrote is believed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest

LONGEST_USERNAME = 255


def client_address(request: HttpRequest) -> str:
    """The address of the client.

    `X-Forwarded-For` is read only as far as `TRUSTED_PROXY_COUNT` proxies of ours reach, from the right: what
    stands further left was written by the client.
    Believing that would let a guesser of passwords come from a new address with each try, and never be locked out.
    """
    direct = str(request.META.get("REMOTE_ADDR") or "")
    proxies = getattr(settings, "TRUSTED_PROXY_COUNT", 0)
    if proxies:
        hops = [
            hop.strip() for hop in str(request.META.get("HTTP_X_FORWARDED_FOR", "")).split(",") if hop.strip()
        ]
        if hops:
            direct = hops[-min(proxies, len(hops))]
    try:
        return str(ipaddress.ip_address(direct))
    except ValueError:
        return "0.0.0.0"  # noqa: S104 - a stand-in for "unknown" (a Unix socket has no address), never listened on.


def client_network(request: HttpRequest) -> str:
    """The client's address for counting: an IPv6 client owns a whole /64, so that is counted as one."""
    address = ipaddress.ip_address(client_address(request))
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((address, 64), strict=False).network_address)


def attempted_username(request: HttpRequest, credentials: Mapping[str, Any] | None = None) -> str | None:
    """Return the user name of an attempt to log in, as long as django-axes can keep it. For `AXES_USERNAME_CALLABLE`.

    No user has a longer name. Django's login form hands one on although it has refused it, and storing that would fail.
    """
    name = (request.POST if credentials is None else credentials).get("username")
    return None if name is None else str(name)[:LONGEST_USERNAME]
