"""Simultaneous claims: no spare is given twice, and none is lost."""

from __future__ import annotations

import threading
import uuid
from collections import Counter

import pytest
from django.db import IntegrityError, connection
from django.utils import timezone

from volumepool.models import SpareVolume, Volume
from volumepool.services import backfill, claims

CLAIMERS, SPARES = 16, 160


@pytest.fixture
def stocked_pool(pool):
    """Create a pool with spares that Cinder does not have, because a claim sends no request."""
    SpareVolume.objects.bulk_create(
        SpareVolume(
            pool=pool,
            volume_id=str(uuid.uuid4()),
            name=f"spare-{number}",
            region=pool.region,
            size_gb=pool.size_gb,
            status="available",
            available_at=timezone.now(),
        )
        for number in range(SPARES)
    )
    return pool


def simultaneously(works):
    start, found = threading.Barrier(len(works)), []

    def one(work):
        try:
            start.wait()
            found.extend(work())
        except Exception as error:  # noqa: BLE001 - looked at by the test.
            found.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=[work]) for work in works]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    return found


def test_no_spare_is_given_twice_and_none_is_lost(stocked_pool, others):
    def five_times(request_claim):
        return lambda: [volume for _ in range(5) for volume in request_claim(2).volumes]

    given = simultaneously([five_times(request_claim) for request_claim in others(CLAIMERS)])

    assert [one for one in given if isinstance(one, Exception)] == []
    assert max(Counter(volume.volume_id for volume in given).values()) == 1
    assert {volume.source for volume in given} == {"pool"}
    assert len(given) == SPARES
    assert SpareVolume.objects.count() == 0
    assert Volume.objects.count() == SPARES


READ_FIRST = """
    SELECT volume_id, name FROM volumepool_sparevolume WHERE pool_id = %(pool)s ORDER BY available_at, id LIMIT %(count)s
"""


def test_a_claim_without_locks_gives_one_spare_to_several_tenants(stocked_pool, others, monkeypatch):
    """Show the race: without the lock, only the unique id of a volume prevents duplicates."""
    monkeypatch.setattr(claims, "CLAIM_SPARES", READ_FIRST)

    given = simultaneously(
        [lambda request_claim=request_claim: request_claim(2).volumes for request_claim in others(8)]
    )

    assert [one for one in given if isinstance(one, IntegrityError)]


def test_without_the_lock_some_wait_for_others_and_get_nothing_of_plenty(stocked_pool, others, monkeypatch):
    lock = " FOR UPDATE OF spare SKIP LOCKED"
    assert lock in claims.CLAIM_SPARES
    monkeypatch.setattr(claims, "CLAIM_SPARES", claims.CLAIM_SPARES.replace(lock, ""))

    given = simultaneously(
        [lambda request_claim=request_claim: request_claim(2).volumes for request_claim in others(8)]
    )

    assert {volume.source for volume in given} == {"pool", "created"}


def test_two_who_fill_a_pool_at_once_make_no_more_than_is_missing(pool):
    made = simultaneously([lambda: backfill(pool.pk)] * 6)

    assert [one for one in made if isinstance(one, Exception)] == []
    assert len(made) == SpareVolume.objects.count() == pool.desired
