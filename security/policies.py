"""The address policies of this installation, made from its settings: one for clouds, one for hosts."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from threading import Lock
from urllib.parse import urlsplit

from django.conf import settings

from .addresses import METADATA_NETWORKS, AddressPolicy, Endpoint, parse_networks

# Seconds after which the names of our own servers are resolved again: their addresses change in a failover.
_LOOKED_UP_AGAIN = 60.0
_POSTGRESQL_PORT = 5432
_REDIS_PORT = 6379


def cloud_policy() -> AddressPolicy:
    """Return the policy for clouds: auth URLs, and what a cloud's catalog or redirect names."""
    return _policy("ALLOW_LOCAL_CLOUDS")


def host_policy() -> AddressPolicy:
    """Return the policy for hosts of deployments: SSH and health checks."""
    return _policy("ALLOW_LOCAL_HOSTS")


def _policy(setting: str) -> AddressPolicy:
    return AddressPolicy(
        allow_local=getattr(settings, setting),
        setting=setting,
        allow_private=settings.ALLOW_PRIVATE_ADDRESSES,
        denied=METADATA_NETWORKS + parse_networks(settings.DENIED_ADDRESSES),
        allowed=parse_networks(settings.ALLOWED_ADDRESSES),
        own_servers=_own_servers,
    )


_lock = Lock()
_known: dict[Endpoint, tuple[float, tuple[Endpoint, ...]]] = {}


def _own_servers() -> Iterator[Endpoint]:
    """Yield (address, port) of each database and broker in the settings; what each name led to last, if it is unknown now."""
    for host, port in _servers_in_settings():
        with _lock:
            until, found = _known.get((host, port), (0.0, ()))
        if time.monotonic() >= until:
            try:
                answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError):
                answers = []
            found = tuple({(str(address[0]).partition("%")[0], port) for *_, address in answers}) or found
            with _lock:
                _known[host, port] = (time.monotonic() + _LOOKED_UP_AGAIN, found)
        yield from found


def _servers_in_settings() -> Iterator[Endpoint]:
    for database in settings.DATABASES.values():
        # libpq takes several hosts and ports, with commas. A path is a socket in the file system, which nobody names.
        ports = str(database.get("PORT") or _POSTGRESQL_PORT).split(",")
        for number, host in enumerate(str(database.get("HOST") or "").split(",")):
            if host and not host.startswith("/"):
                yield host, int(ports[min(number, len(ports) - 1)] or _POSTGRESQL_PORT)
    yield from _redis_servers(settings.REDIS_URL)


def _redis_servers(url: str) -> Iterator[Endpoint]:
    for one in url.split(";"):
        try:
            parts = urlsplit(one)
            host, port = parts.hostname, parts.port
        except ValueError:
            continue
        if host:
            yield host, port or _REDIS_PORT
