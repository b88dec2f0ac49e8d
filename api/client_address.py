"""The client address of a request, as the portal's own proxies report it."""

from __future__ import annotations

import ipaddress
import re

from django.conf import settings
from django.http import HttpRequest

UNKNOWN = "0.0.0.0"  # noqa: S104 - a stand-in for "unknown" (a Unix socket has no address), never listened on.
# Some proxies write the port too: "192.0.2.1:4711", "[2001:db8::1]:4711".
_WITH_PORT = re.compile(r"\[(?P<six>[^\]]+)\](?::\d+)?|(?P<four>[0-9.]+):\d+", re.ASCII)
# IPv4 addresses in an IPv6-only network (RFC 6052).
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def client_address(request: HttpRequest) -> str:
    """Return the client's address; an IPv4 address has the same form, however it arrived.

    Of `X-Forwarded-For`, only the last `TRUSTED_PROXY_COUNT` entries are read: those of the portal's own proxies. The client
    writes the entries before them. An attacker who could choose the address would never be locked out after wrong passwords.
    """
    direct = str(request.META.get("REMOTE_ADDR") or "")
    proxies = getattr(settings, "TRUSTED_PROXY_COUNT", 0)
    if proxies:
        hops = [
            hop.strip() for hop in str(request.META.get("HTTP_X_FORWARDED_FOR", "")).split(",") if hop.strip()
        ]
        if hops:
            direct = hops[-min(proxies, len(hops))]
    return str(_parse_address(direct))


def client_network(request: HttpRequest) -> str:
    """Return the client's network for rate limits: an IPv6 client owns a whole /64, which counts as one."""
    address = ipaddress.ip_address(client_address(request))
    if address.version == 4:
        return str(address)
    # The zone of a link-local address is ignored.
    return str(ipaddress.ip_network((int(address), 64), strict=False).network_address)


def _parse_address(text: str) -> Address:
    if match := _WITH_PORT.fullmatch(text):
        text = match["six"] or match["four"]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ipaddress.ip_address(UNKNOWN)
    if address.version == 6:
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address
