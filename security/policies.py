"""The address policies of this installation, built from its settings: for clouds, hosts, identity providers and receivers of webhooks."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from threading import Lock
from urllib.parse import urlsplit

from django.conf import settings

from . import sentinel
from .addresses import METADATA_NETWORKS, AddressPolicy, Endpoint, parse_networks

# The names of the portal's own servers are resolved again after this time, because a failover changes their addresses.
_RESOLVE_INTERVAL_SECONDS = 60.0
_POSTGRESQL_PORT = 5432
_REDIS_PORT = 6379
_AMQP_PORT = 5672
_AMQPS_PORT = 5671


def cloud_policy() -> AddressPolicy:
    """Return the policy for clouds: auth URLs, and the addresses of their catalogs and redirects."""
    return _build_policy("ALLOW_LOCAL_CLOUDS")


def host_policy() -> AddressPolicy:
    """Return the policy for hosts of deployments: SSH and health checks."""
    return _build_policy("ALLOW_LOCAL_HOSTS")


def receiver_policy() -> AddressPolicy:
    """Return the policy for receivers of webhooks."""
    return _build_policy("ALLOW_LOCAL_RECEIVERS")


def provider_policy() -> AddressPolicy:
    """Return the policy for identity providers: their endpoints, also those that their configuration names."""
    return _build_policy("ALLOW_LOCAL_PROVIDERS")


def _build_policy(setting: str) -> AddressPolicy:
    return AddressPolicy(
        allow_local=getattr(settings, setting),
        setting=setting,
        allow_private=settings.ALLOW_PRIVATE_ADDRESSES,
        denied=METADATA_NETWORKS + parse_networks(settings.DENIED_ADDRESSES),
        allowed=parse_networks(settings.ALLOWED_ADDRESSES),
        own_servers=_list_own_servers,
    )


_lock = Lock()
_resolved: dict[Endpoint | str, tuple[float, tuple[Endpoint, ...]]] = {}


def _list_own_servers() -> Iterator[Endpoint]:
    """Yield (address, port) of each database and broker in the settings. A name that fails to resolve keeps its last addresses."""
    for host, port in _list_configured_servers():
        yield from _remember((host, port), partial(_resolve, host, port))
    if settings.REDIS_SENTINELS:
        yield from _remember("sentinel", sentinel.list_servers)


def _remember(key: Endpoint | str, find: Callable[[], Iterable[Endpoint]]) -> tuple[Endpoint, ...]:
    with _lock:
        until, found = _resolved.get(key, (0.0, ()))
    if time.monotonic() >= until:
        found = tuple(set(find())) or found
        with _lock:
            _resolved[key] = (time.monotonic() + _RESOLVE_INTERVAL_SECONDS, found)
    return found


def _resolve(host: str, port: int) -> list[Endpoint]:
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [(str(address[0]).partition("%")[0], port) for *_, address in answers]


def _list_configured_servers() -> Iterator[Endpoint]:
    direct = [settings.DATABASE_DIRECT] if settings.DATABASE_DIRECT else []
    for database in [*settings.DATABASES.values(), *direct]:
        # libpq accepts several hosts and ports, separated by commas. A path is a Unix socket, which has no address.
        ports = str(database.get("PORT") or _POSTGRESQL_PORT).split(",")
        for number, host in enumerate(str(database.get("HOST") or "").split(",")):
            if host and not host.startswith("/"):
                yield host, int(ports[min(number, len(ports) - 1)] or _POSTGRESQL_PORT)
    yield from settings.REDIS_SENTINELS
    if not settings.REDIS_SENTINELS:
        yield from _parse_servers(settings.REDIS_URL, _REDIS_PORT)
    yield from _parse_servers(settings.RABBITMQ_URL, _AMQP_PORT)


def _parse_servers(urls: str, default_port: int) -> Iterator[Endpoint]:
    for url in urls.split(";"):
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            continue
        if host:
            yield host, port or (_AMQPS_PORT if parts.scheme == "amqps" else default_port)
