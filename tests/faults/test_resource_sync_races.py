"""Syncs of resources that meet: each other, a removal, a command of the portal, and a worker that slept too long.

The cloud is the simulated one behind a proxy, which holds an answer back until the test lets it go: so each meeting
comes about every time. What protects is taken away first where that can be done, to see what would become of it.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import contextmanager

import pytest
from celery import current_app
from django.db import connection, transaction
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from cloudaccounts.models import CloudAccount, CloudResource, ResourceChange, SyncLog
from cloudaccounts.registry import ListedResource
from cloudaccounts.services import change_account, remove_account, sweep_syncs
from cloudaccounts.sync.resource_writer import write_resources
from cloudaccounts.sync.resources import run_sync, sync_resource
from tenants.scoping import Role, Scope
from tests.cloudaccounts.faulty_cloud import faulty_cloud
from tests.cloudaccounts.resource_checks import (
    REGION,
    check_logs,
    check_rows,
    close_clouds,
    limit_page_sizes,
    list_cloud_names,
    list_row_names,
    read_all_rows,
)
from tests.conftest import flush_broker
from tests.factories import UserFactory
from tests.working import wait_for, work

pytestmark = pytest.mark.django_db(transaction=True)

KEY = "one_running_sync_per_account_and_type"


class HeldListing:
    """The volumes' listing, whose answers are held back until they are released. `waiting` counts those."""

    def __init__(self, odd):
        self.waiting, self.open = 0, threading.Event()
        self.odd = odd
        odd.rewrite_answer = self.rewrite_answer

    def rewrite_answer(self, path, status, body):
        if path.endswith("/volumes/detail") and not self.open.is_set():
            self.waiting += 1
            assert self.open.wait(60)
        return status, body

    def until_waiting(self, count=1):
        wait_for(f"{count} wait for the cloud", lambda: self.waiting >= count)


@pytest.fixture
def odd(simulator):
    with faulty_cloud(simulator) as odd:
        yield odd


@pytest.fixture
def known(cloud, account, odd):
    """An account whose volumes have been synced once."""
    account.auth_url = odd.auth_url
    account.save()
    cloud.call("POST", "seed", {"project": "demo", "volumes": 4})
    assert sync_resource(account.pk, "volume").state == "success"
    return account


@contextmanager
def in_threads(*actions):
    """Run actions in threads, each with a connection of its own, while the block runs; give the list of results."""
    found = [None] * len(actions)

    def run(place, action):
        try:
            found[place] = action()
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(actions)]
    for thread in threads:
        thread.start()
    yield found
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def lose_for_a_moment(simulator):
    """Remove a volume from the cloud, and return a function that restores it."""
    volumes = simulator.state.regions[REGION].volumes
    key = next(iter(list_cloud_names(simulator, "volume")))
    thing = volumes.pop(key)
    return key, lambda: volumes.update({key: thing})


def sync_twice_at_once(account, odd, opened):
    """Let two workers list the volumes at the same moment, each with a log of its own if it gets one."""
    held = HeldListing(odd)
    with in_threads(*[lambda log_id=log_id: run_sync(log_id) for log_id in opened]) as logs:
        held.until_waiting(len(opened))
        held.open.set()
    odd.reset()
    return logs


def test_without_the_key_two_syncs_at_once_take_a_moments_absence_for_the_end(simulator, known, odd):
    lost, bring_back = lose_for_a_moment(simulator)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_indexdef(%s::regclass)", [KEY])
        (definition,) = cursor.fetchone()
        cursor.execute(f"DROP INDEX {KEY}")
    try:
        opened = [SyncLog.objects.create(account=known, type="volume").pk for _ in range(2)]
        sync_twice_at_once(known, odd, opened)
    finally:
        SyncLog.objects.running().delete()
        with connection.cursor() as cursor:
            cursor.execute(definition)
    bring_back()

    gone = CloudResource.objects.get(cloud_id=lost)
    assert (gone.missing_count, gone.expired_at is not None) == (2, True), "one moment counted twice"


def test_with_the_key_who_comes_second_joins_and_a_moments_absence_is_a_rumour(simulator, known, odd):
    lost, bring_back = lose_for_a_moment(simulator)
    opened = [SyncLog.objects.open(known.pk, ["volume"]) for _ in range(2)]
    assert [len(ids) for ids in opened] == [1, 0]
    sync_twice_at_once(known, odd, opened[0])
    bring_back()

    gone = CloudResource.objects.get(cloud_id=lost)
    assert (gone.missing_count, gone.expired_at) == (1, None)
    check_logs()


def listings_begun(odd):
    """Return the requests for first pages. A page with a marker belongs to the listing before."""
    return [
        target for target in odd.requested_targets if "/volumes/detail" in target and "marker=" not in target
    ]


def test_of_many_who_ask_and_many_who_take_the_same_log_one_lists(simulator, known, odd):
    SyncLog.objects.all().delete()
    odd.requested_targets.clear()
    held, together = HeldListing(odd), threading.Barrier(8)

    def ask_and_run():
        together.wait(20)
        opened = SyncLog.objects.open(known.pk, ["volume"])
        together.wait(20)
        return len(opened), run_sync(SyncLog.objects.running().get().pk) is not None

    with in_threads(*[ask_and_run] * 8) as found:
        held.until_waiting()
        wait_for("seven have left", lambda: found.count(None) == 1)
        held.open.set()

    assert sorted(count for count, _ran in found) == [0] * 7 + [1]
    assert [ran for _count, ran in found].count(True) == 1
    assert len(listings_begun(odd)) == held.waiting == 1
    (log,) = SyncLog.objects.all()
    assert (log.state, log.unchanged) == ("success", len(list_cloud_names(simulator, "volume")))
    check_rows()


def owner_of(log_id):
    owner = SyncLog.objects.get(pk=log_id).owner
    return int(owner.split(":")[1]) if owner else None


def ring(log_id):
    current_app.send_task("cloudaccounts.sync_resource", args=[log_id], ignore_result=True)


@pytest.mark.story
def test_two_workers_that_are_rung_many_times_list_once(simulator, known, odd, celery_worker):
    odd.requested_targets.clear()
    (log_id,) = SyncLog.objects.open(known.pk, ["volume"])
    for _ in range(10):
        ring(log_id)
    celery_worker(queues="resources", concurrency=2)
    wait_for("it is done", lambda: not SyncLog.objects.running().exists())

    assert len(listings_begun(odd)) == 1
    assert SyncLog.objects.get(pk=log_id).state == "success"
    check_rows()


@pytest.mark.story
def test_a_worker_that_slept_through_its_lease_writes_nothing_when_it_wakes(
    simulator, cloud, known, odd, celery_worker
):
    """The worker is frozen while it waits for a page, and resumes with an old listing, long after another one has synced."""
    held = HeldListing(odd)
    celery_worker(queues="resources", environment={"JOB_LEASE_SECONDS": "1"})
    (log_id,) = SyncLog.objects.open(known.pk, ["volume"])
    ring(log_id)
    held.until_waiting()
    # It lives, and says so: a cloud that is slower than a lease costs nothing.
    time.sleep(1.5)
    sweep_syncs()
    sleeper = owner_of(log_id)
    assert sleeper
    os.kill(sleeper, signal.SIGSTOP)
    try:
        wait_for("its lease is over", lambda: sweep_syncs() or not SyncLog.objects.running().exists())
        dead = SyncLog.objects.get(pk=log_id)
        assert (dead.state, "worker" in dead.message) == ("failed", True)
        renamed, removed, *_rest = list_cloud_names(simulator, "volume")
        cloud.call("PATCH", f"volumes/{renamed}", {"name": "new"})
        cloud.call("DELETE", f"volumes/{removed}")
        cloud.call("POST", "seed", {"project": "demo", "volumes": 1})
        odd.reset()
        assert sync_resource(known.pk, "volume").state == "success"
        after = read_all_rows()
        held.open.set()
    finally:
        os.kill(sleeper, signal.SIGCONT)
    # It has the old page in hand now; that it is through with it shows when it has done what comes next.
    (next_log,) = SyncLog.objects.open(known.pk, ["zone"])
    ring(next_log)
    wait_for("it is through", lambda: not SyncLog.objects.running().exists())

    assert read_all_rows(type="volume") == after
    assert SyncLog.objects.get(pk=log_id).lines.count() == 0
    check_logs()


def test_the_sweep_goes_round_a_log_that_a_sleeper_holds(known):
    """A worker that is frozen in a transaction locks the row of its log. The other logs are closed all the same."""
    opened = SyncLog.objects.open(known.pk, ["volume", "flavor"])
    SyncLog.objects.running().update(owner="dead", lease_until=timezone.now())
    asleep, wake = threading.Event(), threading.Event()

    def sleep_in_a_transaction():
        with transaction.atomic():
            SyncLog.objects.filter(pk=opened[0]).update(owner="dead")
            asleep.set()
            wake.wait(60)

    with in_threads(sleep_in_a_transaction):
        assert asleep.wait(20)
        try:
            sweep_syncs()
            assert SyncLog.objects.get(pk=opened[1]).state == "failed"
        finally:
            wake.set()
    sweep_syncs()
    check_logs()


# --- The account goes while it is listed ---


@pytest.fixture
def staff(transactional_db):
    """A staff user, who may change shared accounts."""
    return Scope(UserFactory(is_staff=True, is_superuser=True), None, Role.ADMIN)


@pytest.fixture
def between_pages(odd, known, monkeypatch):
    """A function that runs a sync, calls an action while the second page is requested, and returns the result."""
    limit_page_sizes(monkeypatch, 2)

    def run(action):
        held = HeldListing(odd)
        pages = []

        def rewrite_answer(path, status, body):
            if path.endswith("/volumes/detail"):
                pages.append(path)
                if len(pages) == 2:
                    held.waiting += 1
                    assert held.open.wait(60)
            return status, body

        odd.rewrite_answer = rewrite_answer
        with in_threads(lambda: sync_resource(known.pk, "volume")) as (found):
            held.until_waiting()
            action()
            held.open.set()
        odd.reset()
        return found[0]

    return run


def test_an_account_that_is_switched_off_while_it_is_listed_stops_at_the_next_page(
    simulator, cloud, known, staff, between_pages
):
    for key in list_cloud_names(simulator, "volume"):
        cloud.call("PATCH", f"volumes/{key}", {"name": "new"})
    pages = []

    def switch_off():
        pages.append(CloudResource.objects.filter(name="new").count())
        change_account(scope=staff, account_id=known.pk, fields={"active": False}, if_match=None)

    log = between_pages(switch_off)

    assert log.state == "failed"
    assert "disabled" in log.message
    # The next page is fetched while this one is being written, so at that moment it is written or about to be.
    assert pages[0] <= CloudResource.objects.filter(name="new").count() == log.updated <= 2
    assert not PeriodicTask.objects.get(name=f"CloudAccount-{known.pk}-sync").enabled
    assert not CloudResource.objects.filter(missing_count__gt=0).exists()
    check_rows()
    check_logs()


def test_an_account_that_is_removed_while_it_is_listed_is_gone_for_good(known, staff, between_pages):
    def remove():
        remove_account(scope=staff, account_id=known.pk)
        work()
        assert not CloudAccount.objects.exists()

    assert between_pages(remove) is None
    sweep_syncs()

    for left in (CloudAccount, CloudResource, ResourceChange, SyncLog):
        assert not left.objects.exists(), left
    assert not PeriodicTask.objects.filter(name__startswith="CloudAccount-").exists()


# --- A command of the portal writes while it is listed ---


def test_what_a_command_writes_while_a_listing_goes_on_wins_and_is_not_missed(
    simulator, cloud, known, between_pages
):
    place = (known.pk, REGION, "volume")
    late, *_others, early = list_cloud_names(simulator, "volume")  # Cinder lists the newest first.
    for key in (late, early):
        cloud.call("PATCH", f"volumes/{key}", {"name": "as listed"})

    def write():
        # As the snapshot command does with what it has just made.
        found = [
            ListedResource("made-meanwhile", "made", "ready"),
            ListedResource(late, "written", "ready"),
            ListedResource(early, "written"),
        ]
        write_resources(place, found, timezone.now())

    log = between_pages(write)

    assert (log.state, log.missing, log.expired) == ("success", 0, 0)
    names = list_row_names(type="volume")
    assert (names["made-meanwhile"], names[late], names[early]) == ("made", "written", "written")
    check_rows()
    # The next listing is newer than what was written; of what it does not show there is a rumour.
    log = sync_resource(known.pk, "volume")
    assert (log.updated, log.missing, log.expired) == (2, 1, 0)
    assert list_row_names(missing_count=0) == list_cloud_names(simulator, "volume")
    check_rows()
    close_clouds()
    flush_broker()
