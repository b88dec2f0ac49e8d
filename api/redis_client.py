"""A client of the Redis of the cache, for commands that Django's cache does not have."""

from __future__ import annotations

from typing import Any

import redis
from django.conf import settings
from django.utils.module_loading import import_string
from redis.backoff import NoBackoff
from redis.retry import Retry


def create_redis_client() -> Any:
    """Return a client with a pool of its own, also behind Sentinels. It may be shared by threads, and notices forks itself.

    One attempt and short timeouts: a dead Redis must not delay a request or a scrape.
    """
    cache = settings.CACHES["default"]
    pool_class = import_string(cache["OPTIONS"].get("pool_class", "redis.ConnectionPool"))
    pool = pool_class.from_url(
        cache["LOCATION"],
        socket_connect_timeout=0.5,
        socket_timeout=0.5,
        retry=Retry(NoBackoff(), 0),
    )
    return redis.Redis(connection_pool=pool)
