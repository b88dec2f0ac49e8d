"""A sync of resources is killed at each of its commits: no log goes on running, and the next sync makes the rows right.

Every pass of every point is tried inside one process, where dying is an exception that nobody may catch; and a real
Celery worker dies once by SIGKILL at each point.
"""

from __future__ import annotations

import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from celery import current_app
from django.db import connection
from django.db.models import F
from django.utils import timezone

from cloudaccounts.models import CloudResource, SyncLog
from cloudaccounts.services import sweep_syncs
from cloudaccounts.services.syncs import REDISPATCH_SECONDS, open_scheduled_syncs
from cloudaccounts.sync import resources
from cloudaccounts.sync.resources import CRASH_POINTS, run_sync, sync_resource
from tasks import crash_points, dispatch
from tests.cloudaccounts.resource_checks import (
    check_logs,
    check_rows,
    limit_page_sizes,
    list_cloud_names,
    list_row_names,
)
from tests.conftest import flush_broker
from tests.stories import select_evenly
from tests.working import wait_for

from .killable_worker import Killed

pytestmark = pytest.mark.django_db(transaction=True)

CHANGED = {"port": "ports", "volume": "volumes"}


def move_rings_back():
    """Move the times of the last messages into the past."""
    SyncLog.objects.update(rung_at=timezone.now() - 2 * timedelta(seconds=REDISPATCH_SECONDS))


def change_the_cloud(cloud, simulator, type_code):
    """Rename a resource, create one, and remove one."""
    kind = CHANGED[type_code]
    first, *_others, last = list_cloud_names(simulator, type_code)
    cloud.call("PATCH", f"{kind}/{first}", {"name": "renamed"})
    cloud.call("DELETE", f"{kind}/{last}")
    cloud.call("POST", "seed", {"project": "demo", kind: 1})
    return last


def check_after_death(simulator, account, type_code, lost):
    """Check that no resource is counted as missing twice, and that one more sync corrects every row."""
    gone = CloudResource.objects.filter(account=account, cloud_id=lost)
    rumours = gone.get().missing_count
    assert rumours <= 1
    log = sync_resource(account.pk, type_code)
    assert log.state == "success", log.message
    assert list_row_names(account=account, type=type_code, missing_count=0) == list_cloud_names(
        simulator, type_code
    )
    assert gone.get().missing_count == rumours + 1
    assert (gone.get().expired_at is None) == (rumours == 0)


class SyncThatDies:
    """A sync whose process dies at one of its crash points."""

    def __init__(self):
        self.passed, self.armed = Counter(), None

    def __call__(self, name):
        assert not connection.in_atomic_block, f"{name} was passed inside a transaction"
        place = (name, self.passed[name])
        self.passed[name] += 1
        if place == self.armed:
            raise Killed

    def run(self, account_id):
        """Run schedule, worker and sweep until no sync is running, and return whether the process died."""
        self.passed.clear()
        died = False
        try:
            open_scheduled_syncs(account_id)
            for log_id in SyncLog.objects.running().order_by("pk").values_list("pk", flat=True):
                run_sync(log_id)
        except Killed:
            died = True
        self.armed = None
        # Its lease is over, and those that it had not begun are rung for again.
        SyncLog.objects.exclude(owner="").update(lease_until=F("started_at"))
        move_rings_back()
        sweep_syncs()
        rung = [run_sync(log.pk) for log in SyncLog.objects.running()]
        assert {log.state for log in rung} <= {"success"}
        return died


@pytest.fixture
def dying_sync(monkeypatch):
    """A sync in this process that dies at a crash point. No Celery message is sent."""
    dying_sync = SyncThatDies()
    monkeypatch.setattr(resources, "crash_point", dying_sync)
    monkeypatch.setattr(crash_points, "crash_point", dying_sync)
    monkeypatch.setattr(dispatch, "_send", lambda *args: None)
    return dying_sync


def test_dying_at_any_pass_of_any_point_leaves_nothing_that_the_next_sync_does_not_right(
    simulator, cloud, account, dying_sync, monkeypatch
):
    limit_page_sizes(monkeypatch, 3)
    cloud.call("POST", "seed", {"project": "demo", "volumes": 1})
    cloud.call("POST", "seed", {"project": "demo", "volumes": 6, "ports": 7})
    account.resource_types.set(account.resource_types.model.objects.filter(code__in=CHANGED))
    assert not dying_sync.run(account.pk)
    deaths = 0
    for name, times in dict(dying_sync.passed).items():
        for number in range(times):
            lost = {code: change_the_cloud(cloud, simulator, code) for code in CHANGED}
            dying_sync.armed = (name, number)
            assert dying_sync.run(account.pk), (name, number)
            deaths += 1
            check_logs()
            for code in CHANGED:
                check_after_death(simulator, account, code, lost[code])
    assert set(dying_sync.passed) >= set(CRASH_POINTS) and deaths >= 12, (deaths, dying_sync.passed)
    check_rows()


@pytest.fixture
def starting(celery_worker):
    """An executor that starts workers. Its threads stay until the end: a worker dies with the thread that started it."""
    with ThreadPoolExecutor(len(CRASH_POINTS)) as threads:
        yield threads


@pytest.mark.story
def test_workers_that_are_killed_leave_no_log_running_and_no_row_wrong(
    simulator, cloud, celery_worker, starting, tmp_path, monkeypatch
):
    """Each crash point has a worker, an account and a queue. All run at once, because workers start slowly."""
    limit_page_sizes(monkeypatch, 3)
    cloud.call("POST", "seed", {"project": "demo", "volumes": 7})
    points = select_evenly(CRASH_POINTS, 3)
    accounts = {point: cloud.account(name=point) for point in points}
    for account in accounts.values():
        account.resource_types.set(account.resource_types.model.objects.filter(code="volume"))
        assert sync_resource(account.pk, "volume").state == "success"
    SyncLog.objects.all().delete()
    lost = change_the_cloud(cloud, simulator, "volume")

    def start(point):
        environment = {"JOB_LEASE_SECONDS": "1", "PORTAL_CRASH_AT": f"{point}:{tmp_path / point}"}
        return celery_worker(queues=f"resources-{point}", pool="solo", environment=environment)

    workers = dict(zip(points, starting.map(start, points), strict=True))
    for point, account in accounts.items():
        task, of = "cloudaccounts.sync_account", account.pk
        if point != "sync_opened":
            task, (of,) = "cloudaccounts.sync_resource", SyncLog.objects.open(account.pk, ["volume"])
        current_app.send_task(task, args=[of], queue=f"resources-{point}", ignore_result=True)
    for point, worker in workers.items():
        wait_for(f"it dies at {point}", lambda worker=worker: worker.poll() is not None)
        assert ((tmp_path / point).exists(), worker.returncode) == (True, -signal.SIGKILL)
    flush_broker()  # Celery would deliver the dead processes' messages again: nothing may depend on that.
    wait_for(
        "their leases are over",
        lambda: sweep_syncs() or not SyncLog.objects.running().exclude(owner="").exists(),
    )

    # Of the one that died before anybody was told, the sweep tells the workers.
    (forgotten,) = SyncLog.objects.running()
    assert forgotten.account == accounts["sync_opened"]
    move_rings_back()
    sweep_syncs()
    with current_app.connection_for_write() as broker:
        assert broker.default_channel.client.llen("resources") == 1
    run_sync(forgotten.pk)

    dead = "The worker stopped before the sync ended."
    for point, account in accounts.items():
        log = SyncLog.objects.get(account=account)
        well = point in {"sync_opened", "sync_ended"}
        assert (log.state, log.message) == (("success", "") if well else ("failed", dead)), point
        check_after_death(simulator, account, "volume", lost)
    check_logs()
    check_rows()
