"""The history of a pool: its points, the API, and the chart."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from tests.factories import MembershipFactory, VolumePoolFactory
from volumepool.models import Claim, PoolStock
from volumepool.pages.pools import draw_history
from volumepool.services.stock import POINTS, build_history

from .pool_fixtures import claimed, minutes, pool, queries_of, staff, was

pytestmark = pytest.mark.django_db

__all__ = ["pool", "staff"]


# --- Over time ---------------------------------------------------------------------------------------------


def point_at(history, moment):
    return max((point for point in history.points if point.at <= moment), key=lambda point: point.at)


def test_a_point_averages_the_stock_by_time(pool):
    history = build_history(pool.pk, 30)
    began = history.points[-3].at  # It is two and a half hours long.
    for seconds, available, creating, desired in ((-60, 4, 0, 4), (2250, 1, 2, 4), (4500, 3, 0, 6)):
        for more in range(0, 2250, 300):  # As it is written down every few minutes.
            at = began + timedelta(seconds=seconds + more)
            PoolStock.objects.create(
                pool=pool, at=at, available=available, creating=creating, desired=desired
            )
    Claim.objects.create(pool=pool, at=began, taken=2, made=1)
    Claim.objects.create(pool=pool, at=began + timedelta(minutes=149), taken=1)
    Claim.objects.create(pool=pool, at=began - timedelta(seconds=1), taken=9)
    Claim.objects.create(pool=VolumePoolFactory(), at=began, taken=9)

    read = build_history(pool.pk, 30)
    point = point_at(read, began)

    assert point.at == began
    assert (point.available_min, point.creating, point.desired) == (1, 2, 6)
    # 2250 s of four, 2250 s of one; of three 2250 s less the last five minutes, and fifteen that nobody spoke of.
    lasted = 4 * 2250 + 2250 + 3 * (2100 + 900)
    assert point.available_avg == pytest.approx(lasted / (2250 + 2250 + 2100 + 900), abs=0.01)
    assert (point.hits, point.misses) == (3, 1)
    assert point_at(read, began - timedelta(seconds=1)).hits == 9


def test_a_pool_stays_as_it_was_for_a_quarter_of_an_hour_and_then_nobody_knows(pool):
    was(pool, timedelta(minutes=63), 2)
    was(pool, timedelta(minutes=12), 3)

    history = build_history(pool.pk, 1)
    now = timezone.now()

    assert point_at(history, now - minutes(55)).available_avg == 2
    for ago in (70, 40, 20):
        point = point_at(history, now - minutes(ago))
        assert (point.available_min, point.available_avg, point.creating, point.desired) == (None,) * 4
    assert history.points[-1].available_min == 3, "it is still so"


def test_the_stock_at_the_start_of_the_range_is_included(pool):
    history = build_history(pool.pk, 1)
    PoolStock.objects.create(pool=pool, at=history.since - minutes(6), available=3, creating=0, desired=4)

    first = build_history(pool.pk, 1).points[:3]

    assert [point.available_min for point in first] in ([3, 3, None], [3, None, None])


@pytest.mark.parametrize("days", [1, 7, 30, 90])
def test_any_range_is_as_many_points_in_as_many_queries(pool, days):
    for ago in range(0, days * 1440, days * 7):
        was(pool, minutes(ago), 1)
        claimed(pool, minutes(ago), 1)

    history = build_history(pool.pk, days)

    assert len(history.points) == POINTS <= 300
    assert history.until - history.since == timedelta(days=days)
    assert history.since <= timezone.now() - timedelta(days=days) + timedelta(
        seconds=history.seconds_per_point
    )
    assert sum(point.hits for point in history.points) == pytest.approx(1440 / 7, abs=2)
    assert queries_of(lambda: build_history(pool.pk, days)) == 2


def test_the_api_tells_a_pool_over_time(staff, pool):
    was(pool, minutes(3), 2, creating=1)
    claimed(pool, minutes(3), 1, 2)

    answer = staff.get(f"/api/v1/volume-pools/{pool.pk}/history/?days=7")

    body = answer.json()
    assert answer.status_code == 200
    assert (body["seconds_per_point"], len(body["points"])) == (2100, POINTS)
    told = [point for point in body["points"] if point["hits"] or point["misses"]]
    assert [(one["hits"], one["misses"]) for one in told] == [(1, 2)]
    assert body["points"][-1] == {**body["points"][-1], "available_min": 2, "creating": 1, "desired": 4}
    assert body["points"][0]["available_avg"] is None
    by_default = staff.get(f"/api/v1/volume-pools/{pool.pk}/history/").json()
    assert by_default["seconds_per_point"] == 300


@pytest.mark.parametrize("days", ["0", "91", "-1", "many", "", "1.5", "9" * 30])
def test_days_that_make_no_sense_are_refused(staff, pool, days):
    answer = staff.get(f"/api/v1/volume-pools/{pool.pk}/history/", {"days": days})

    assert answer.status_code == 400
    assert "days" in answer.json()["errors"]


def test_no_tenant_sees_a_pool_over_time(pool):
    client = APIClient()
    client.force_authenticate(MembershipFactory(role="admin").user)

    assert client.get(f"/api/v1/volume-pools/{pool.pk}/history/").status_code == 403


# --- The picture -------------------------------------------------------------------------------------------


def texts(chart, kind):
    return re.findall(rf'<text class="{kind}"[^>]*>([^<]*)<', chart.svg)


def test_the_charts_have_gaps_without_records_and_bars_for_claims(pool):
    for ago in (600, 595, 590, 20, 15, 10, 5):
        was(pool, minutes(ago), 2)
    claimed(pool, minutes(600), 3, 1)

    stock, claims = draw_history(pool, build_history(pool.pk, 1))

    for series in (1, 2, 3, 4):
        assert len(re.findall(rf'class="line series-{series}"', stock.svg)) == 2
    assert stock.subtitle == "Between 2 and 2 were available; 4 are desired."
    bars = re.findall(r'<rect class="bar series-(\w+)" [^>]* y="([\d.]+)"[^>]* height="([\d.]+)"', claims.svg)
    ((_good, top, taken), (_bad, above, made)) = bars
    assert [tone for tone, _top, _height in bars] == ["good", "bad"]
    assert float(taken) == pytest.approx(3 * float(made), abs=0.2)
    assert float(above) + float(made) == pytest.approx(float(top), abs=0.2)
    assert claims.subtitle == "3 served from the pool, 1 created on demand."


@pytest.mark.parametrize(
    ("highest", "marks"), [(2, "0 1 2"), (4, "0 1 2 3 4"), (7, "0 2 4 6 8"), (1000, "0 500 1,000")]
)
def test_the_chart_is_as_high_as_the_desired_stock(pool, highest, marks):
    was(pool, minutes(1), 0, desired=highest)

    stock, _claims = draw_history(pool, build_history(pool.pk, 1))

    assert texts(stock, "count") == marks.split()


@pytest.mark.parametrize(("days", "fewest"), [(1, 3), (7, 6), (30, 5), (90, 4)])
def test_the_chart_marks_round_times(pool, days, fewest):
    was(pool, minutes(1), 1)

    stock, claims = draw_history(pool, build_history(pool.pk, days))

    times = texts(stock, "time")
    assert fewest <= len(times) <= 7
    shape = r"\d\d:00" if days == 1 else r"\d\d-\d\d"
    assert all(re.fullmatch(shape, text) for text in times)
    assert texts(claims, "time")


def test_a_pool_without_history_has_no_charts(pool):
    history = build_history(pool.pk, 7)

    assert history.is_empty
    assert draw_history(pool, history) == []


def test_a_range_begins_where_a_point_does(pool):
    first, second = build_history(pool.pk, 7), build_history(pool.pk, 7)

    assert int(first.since.timestamp()) % first.seconds_per_point == 0
    assert first.since.tzinfo == UTC
    assert datetime.now(UTC) < first.until
    assert second.since - first.since in (timedelta(0), timedelta(seconds=first.seconds_per_point))
