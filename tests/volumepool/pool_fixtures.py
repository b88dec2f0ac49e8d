"""Pools without a cloud, whose spares, stock and claims are written as rows."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from tests.factories import SpareVolumeFactory, UserFactory, VolumePoolFactory
from volumepool.models import Claim, PoolStock


@pytest.fixture
def pool():
    """Create a pool with a claimable spare, an outdated one, and one in creation."""
    pool = VolumePoolFactory(desired=4)
    SpareVolumeFactory(pool=pool)
    SpareVolumeFactory(pool=pool, size_gb=7)
    SpareVolumeFactory(pool=pool, status="creating", volume_id=None, available_at=None)
    return pool


@pytest.fixture
def staff():
    client = APIClient()
    client.force_authenticate(UserFactory(is_staff=True, is_superuser=True))
    return client


def was(pool, ago, available, *, creating=0, desired=4):
    return PoolStock.objects.create(
        pool=pool, at=timezone.now() - ago, desired=desired, available=available, creating=creating
    )


def claimed(pool, ago, taken, made=0):
    return Claim.objects.create(pool=pool, at=timezone.now() - ago, taken=taken, made=made)


def minutes(count):
    return timedelta(minutes=count)


def queries_of(act):
    with CaptureQueriesContext(connection) as captured:
        act()
    return len([query for query in captured if "SAVEPOINT" not in query["sql"]])
