"""Redis behind Sentinels: the connections of the cache, and the addresses of the servers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from redis.connection import parse_url
from redis.exceptions import RedisError
from redis.sentinel import Sentinel, SentinelConnectionPool

from .addresses import Endpoint


def create_sentinel() -> Sentinel:
    """Return a client of the Sentinels in the settings."""
    return Sentinel(settings.REDIS_SENTINELS, sentinel_kwargs=settings.REDIS_SENTINEL_OPTIONS)  # type: ignore[no-untyped-call]


class PrimaryPool(SentinelConnectionPool):
    """A pool of connections to the present primary, as Django's Redis cache opens it (`pool_class`).

    Each new connection asks the Sentinels for the primary. After a failover, the connections to the old one fail, and
    redis-py opens others.
    """

    @classmethod
    def from_url(cls, url: str, **options: Any) -> PrimaryPool:
        """Return a pool with the user, the password and the database of a URL; its host is the name of the group."""
        parts: dict[str, Any] = {**parse_url(url)}  # type: ignore[no-untyped-call]
        del parts["host"]
        return cls(settings.REDIS_SENTINEL_MASTER, create_sentinel(), **parts, **options)


def list_servers() -> Iterator[Endpoint]:
    """Yield (address, port) of each Redis server and Sentinel of the group that a Sentinel knows; nothing if none answers."""
    master = settings.REDIS_SENTINEL_MASTER
    sentinel = create_sentinel()
    client: Any  # redis-py's types are those of its synchronous and asynchronous clients together.
    for client in sentinel.sentinels:
        try:
            servers = [
                client.sentinel_master(master),
                *client.sentinel_slaves(master),
                *client.sentinel_sentinels(master),
            ]
        except (RedisError, OSError):
            continue
        finally:
            client.close()
        yield from ((str(server["ip"]), int(server["port"])) for server in servers)
