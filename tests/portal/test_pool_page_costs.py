"""What the pages of pools cost, and the way from the admin to them."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.factories import (
    SpareVolumeFactory,
    UserFactory,
)
from volumepool.models import Claim, OrphanVolume, PoolStock

pytestmark = pytest.mark.django_db


def text(answer):
    return answer.content.decode()


# --- The admin, and what it costs --------------------------------------------------------------------------


def test_the_admin_leads_to_the_charts(client, pool):
    client.force_login(UserFactory(is_staff=True, is_superuser=True))

    html = text(client.get(f"/admin/volumepool/volumepool/{pool.pk}/change/"))

    assert f'href="/pools/{pool.pk}/"' in html
    assert client.get("/admin/volumepool/volumepool/add/").status_code == 200


@pytest.mark.parametrize("page", ["/pools/", "/pools/{}/"])
def test_many_cost_no_more_queries_than_few(staff, pool, submit_spare_job, page):
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
            submit_spare_job(pool, f"spare-debian-{other.pk:08x}")

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
