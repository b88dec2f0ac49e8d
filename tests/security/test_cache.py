"""Values in Redis: no pickles, and no plain secrets."""

from __future__ import annotations

import pickle
from contextlib import closing

import pytest
import redis
from django.core.cache import cache

from security.cache import JsonSerializer, SecretCache

SECRET = '{"auth_token": "gAAAAA-of-nobody", "body": {"token": {"project": "p"}}}'


def kept(settings, word):
    """(key, value) of everything in Redis whose key has the word."""
    with closing(redis.Redis.from_url(settings.REDIS_URL)) as server:
        return [(key, server.get(key)) for key in server.scan_iter(f"*{word}*")]


@pytest.mark.parametrize("value", [1, 0, -3, True, False, 1.5, "1", "text ä密", "", [1.5, "a"], {"a": None}])
def test_cached_value_is_returned_unchanged(value):
    cache.set("security-test", value, 5)

    found = cache.get("security-test")

    assert found == value and type(found) is type(value)


def test_integers_can_be_incremented_and_nothing_is_pickled(settings):
    cache.set("security-count", 1, 5)
    cache.set("security-list", ["a"], 5)

    assert cache.incr("security-count") == 2
    found = dict(kept(settings, "security-"))
    assert b'["a"]' in found.values()
    assert not [value for value in found.values() if value.startswith(b"\x80")]


class Harm:
    def __reduce__(self):
        return (pytest.fail, ("a pickle from Redis was run",))


def test_a_pickle_in_redis_is_not_run(settings):
    with pytest.raises(ValueError):
        JsonSerializer().loads(pickle.dumps(Harm()))
    with closing(redis.Redis.from_url(settings.REDIS_URL)) as server:
        server.set(cache.make_key("tokens:harm"), pickle.dumps(Harm()), ex=5)

    assert SecretCache("tokens").get("harm") is None


def test_values_that_are_no_json_are_refused():
    with pytest.raises(TypeError):
        cache.set("security-test", object(), 5)


def test_secrets_are_encrypted_in_redis(settings):
    SecretCache("tokens").set("one", SECRET, 5)

    found = kept(settings, "tokens:one")
    assert len(found) == 1
    assert b"gAAAAA-of" not in found[0][1] and b"project" not in found[0][1]
    assert SecretCache("tokens").get("one") == SECRET


def test_removed_key_or_dead_cache_counts_as_not_cached(settings):
    SecretCache("tokens").set("two", SECRET, 5)
    settings.ENCRYPTION_KEYS = ["A" * 43 + "="]
    assert SecretCache("tokens").get("two") is None
    cache.set("tokens:three", "plain text", 5)
    assert SecretCache("tokens").get("three") is None
    assert SecretCache("tokens").get("never") is None
