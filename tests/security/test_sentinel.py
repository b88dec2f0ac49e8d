"""Redis behind Sentinels, with real servers: the cache follows a failover, and tenants reach none of the servers."""

from __future__ import annotations

import pytest
import redis
from django.core.cache.backends.redis import RedisCache

from api.shared_metrics import MetricStore
from security import policies
from tests.portal.test_service_urls import read_settings
from tests.sentinels import start_valkey_group
from tests.working import wait_for

__all__ = ["read_settings"]

pytestmark = pytest.mark.story


@pytest.fixture
def group(tmp_path, read_settings, settings):
    """A group of Valkey servers that the settings name."""
    with start_valkey_group(tmp_path) as group:
        known = read_settings(**group.environment)
        for name in (
            "REDIS_URL",
            "REDIS_SENTINELS",
            "REDIS_SENTINEL_MASTER",
            "REDIS_SENTINEL_OPTIONS",
            "CACHES",
        ):
            setattr(settings, name, known[name])
        yield group


def test_the_cache_follows_a_failover_and_all_servers_are_refused(group, settings, monkeypatch):
    monkeypatch.setattr(policies, "_resolved", {})
    own = {port for address, port in policies._list_own_servers() if address == "127.0.0.1"}
    assert own >= {group.nobody, group.sentinel, group.primary, group.replica}
    options = settings.CACHES["default"]
    cache = RedisCache(options["LOCATION"], options)
    cache.set("key", "before")
    assert cache.get("key") == "before"
    metrics = MetricStore()
    metrics.add({'["counted","",""]': 1})
    metrics.flush()

    group.kill(group.primary)

    def answers():
        try:
            cache.set("key", "after")
            metrics.add({'["counted","",""]': 1})
            metrics.flush()
        except redis.exceptions.ConnectionError:
            return False
        return True

    wait_for("the cache answers again", answers)
    assert group.find_primary() == group.replica
    with redis.Redis(port=group.replica, password=group.password, db=0) as client:
        assert client.get(cache.make_key("key")) == b'"after"'
    # The counts that could not be written meanwhile are kept.
    assert metrics.read().counts['["counted","",""]'] >= 2
    # The address of the dead server stays: it comes back as a replica.
    assert {port for _address, port in policies._list_own_servers()} >= {group.primary, group.replica}
