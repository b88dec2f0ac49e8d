"""What the pages of pools cost, and the way from the admin to them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tasks import engine
from tests.factories import (
    SpareVolumeFactory,
    UserFactory,
    VolumePoolFactory,
)
from volumepool.commands import CreateSpareCommand
from volumepool.models import Claim, OrphanVolume, PoolStock, SpareVolume

pytestmark = pytest.mark.django_db


@pytest.fixture
def pool(account):
    """A pool with a spare, something to be drawn, and claims that found it empty."""
    pool = VolumePoolFactory(account=account, type="debian", desired=3, volume_type="ssd")
    SpareVolumeFactory(pool=pool, name="spare-debian-aaaaaaaa", volume_type="ssd")
    now = timezone.now()
    for ago in (300, 295, 290, 10, 5):
        PoolStock.objects.create(
            pool=pool, at=now - timedelta(minutes=ago), desired=3, available=1, creating=2
        )
    Claim.objects.create(pool=pool, at=now - timedelta(hours=2), taken=3, made=1, seconds_saved=360)
    Claim.objects.create(pool=pool, at=now - timedelta(hours=2), taken=0, made=1)
    return pool


def text(answer):
    return answer.content.decode()


def a_job(pool, name):
    spare = SpareVolume.objects.create(pool=pool, name=name, size_gb=1, region=pool.region)
    with transaction.atomic():
        return engine.submit(CreateSpareCommand(str(spare.pk), pool.pk)).job


# --- The admin, and what it costs --------------------------------------------------------------------------


def test_the_admin_leads_to_the_charts(client, pool):
    client.force_login(UserFactory(is_staff=True, is_superuser=True))

    html = text(client.get(f"/admin/volumepool/volumepool/{pool.pk}/change/"))

    assert f'href="/pools/{pool.pk}/"' in html
    assert client.get("/admin/volumepool/volumepool/add/").status_code == 200


@pytest.mark.parametrize("page", ["/pools/", "/pools/{}/"])
def test_many_cost_no_more_queries_than_few(staff, pool, page):
    page = page.format(pool.pk)

    def grow(count):
        for number in range(count):
            other = SpareVolumeFactory(pool__desired=2).pool
            Claim.objects.create(pool=other, taken=1, made=1)
            PoolStock.objects.create(pool=other, desired=2, available=1, creating=0)
            SpareVolumeFactory(pool=pool)
            OrphanVolume.objects.create(
                account=pool.account, region=pool.region, volume_id=f"{other.pk}-{number}"
            )
            a_job(pool, f"spare-debian-{other.pk:08x}")

    def cost():
        with CaptureQueriesContext(connection) as queries:
            assert staff.get(page).status_code == 200
        return len(queries)

    grow(1)
    staff.get(page)
    few = cost()
    grow(6)
    assert cost() == few
    assert few <= 20
