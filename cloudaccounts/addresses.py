"""Where the portal may be sent: an administrator's URL must not make it talk to itself or to a metadata service."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _


def check_auth_url(url: str) -> None:
    """Refuse a URL that is not http(s), or whose host is loopback, link-local, multicast or unspecified.

    `ALLOW_LOCAL_CLOUDS` lets local ones through: the demo's simulator is on loopback.
    Raises ValidationError.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:  # A port that is no port, a bracket that does not close.
        raise ValidationError(_("This is not an address: %(error)s.") % {"error": error}) from None
    if parts.scheme not in {"http", "https"} or not host or parts.username or parts.password:
        raise ValidationError(_("An auth URL is http or https, with a host and without a user name in it."))
    if settings.ALLOW_LOCAL_CLOUDS:
        return
    try:
        found = socket.getaddrinfo(host, port or 443, proto=socket.IPPROTO_TCP)
    except OSError:
        raise ValidationError(_("The host '%(host)s' is not known.") % {"host": host}) from None
    for *_rest, address in found:
        ip = str(address[0]).split("%")[0]
        if is_local(ip):
            raise ValidationError(
                _("The host '%(host)s' is at %(ip)s, where clouds are not allowed (ALLOW_LOCAL_CLOUDS).")
                % {"host": host, "ip": ip}
            )


def is_local(address: str) -> bool:
    """Whether an address is loopback, link-local (metadata services), multicast, unspecified or reserved."""
    ip = _address(address)
    return ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified or ip.is_reserved


def is_no_host(address: str) -> bool:
    """Whether no machine can be at an address: multicast, broadcast, unspecified, or a cloud's metadata service."""
    ip = _address(address)
    return ip.is_multicast or ip.is_unspecified or str(ip) in {"255.255.255.255", "169.254.169.254"}


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    ip = ipaddress.ip_address(text)
    # ::ffff:127.0.0.1 leads where 127.0.0.1 does; not every Python that we support sees that by itself.
    return getattr(ip, "ipv4_mapped", None) or ip
