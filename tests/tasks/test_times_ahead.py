"""A clock that ran ahead and was set back leaves times of the future behind; none of them blocks for hours."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from cloudaccounts.models import SyncLog
from cloudaccounts.services import sweep_syncs
from cloudaccounts.services.freshness import measure_staleness
from deploys.commands.deployment import DeployBatchCommand
from tasks import engine, queues
from tasks.clock import is_recent
from tasks.engine.recovery import repair_times_ahead
from tasks.leases import lease_duration, shorten_leases
from tasks.models import AsyncTask, Job, PollScope
from tests.factories import CloudAccountFactory, VirtualMachineFactory
from vms.models import SyncState
from vms.services.status_sync import select_stale_states
from vms.sync.status import is_full_run_due
from volumepool.models import VolumePool

pytestmark = pytest.mark.django_db

HOURS = timedelta(hours=3)


def a_job(**columns):
    return Job.objects.create(
        **{"kind": "tasks.canary", "status": "waiting", "deadline": timezone.now() + timedelta(days=1)}
        | columns
    )


def ahead(at, most):
    return at is not None and at > timezone.now() + most


def test_the_lease_of_a_dead_worker_ends_in_the_time_of_one():
    job = a_job(status="running", owner="dead", lease_until=timezone.now() + HOURS)
    scope = PollScope.objects.create(watcher="w", scope="s", owner="dead", lease_until=timezone.now() + HOURS)

    repair_times_ahead()

    for row in (job, scope):
        row.refresh_from_db()
        # It is cut and not ended: an owner that lives extends it.
        assert row.owner == "dead"
        assert timezone.now() < row.lease_until <= timezone.now() + lease_duration()


def test_a_lease_that_is_in_order_is_left_alone():
    until = timezone.now() + lease_duration()
    job = a_job(status="running", owner="alive", lease_until=until)

    assert repair_times_ahead() == 0
    job.refresh_from_db()
    assert job.lease_until == until


def test_a_poller_that_rests_is_woken():
    scope = PollScope.objects.create(watcher="w", scope="s", owner="", lease_until=timezone.now() + HOURS)

    repair_times_ahead()

    scope.refresh_from_db()
    assert scope.lease_until is None


def test_what_is_watched_is_looked_at_within_a_quarter_of_an_hour():
    job = a_job(not_before=timezone.now() + HOURS)
    watched = AsyncTask.objects.create(
        job=job,
        step_name="x",
        watcher="w",
        scope="s",
        object_id="o",
        until=[],
        unless=[],
        next_look_at=timezone.now() + HOURS,
        expires_at=timezone.now() + HOURS,
    )

    repair_times_ahead()

    watched.refresh_from_db()
    job.refresh_from_db()
    assert not ahead(watched.next_look_at, timedelta(minutes=16))
    # The job itself waits for that.
    assert ahead(job.not_before, timedelta(hours=2))


def test_a_job_that_only_waits_goes_on():
    job = a_job(not_before=timezone.now() + HOURS)
    soon = a_job(not_before=timezone.now() + timedelta(minutes=5))

    repair_times_ahead()

    for row in (job, soon):
        row.refresh_from_db()
    assert not ahead(job.not_before, timedelta(0))
    assert ahead(soon.not_before, timedelta(minutes=4))


def test_the_pause_of_a_deployment_may_be_long():
    pause = a_job(kind=DeployBatchCommand.kind, not_before=timezone.now() + timedelta(hours=11))
    wrong = a_job(kind=DeployBatchCommand.kind, not_before=timezone.now() + timedelta(hours=40))
    parent = a_job(not_before=timezone.now() + HOURS, children_open=2)

    repair_times_ahead()

    for row in (pause, wrong, parent):
        row.refresh_from_db()
    assert ahead(pause.not_before, timedelta(hours=10))
    assert not ahead(wrong.not_before, timedelta(0))
    assert ahead(parent.not_before, timedelta(hours=2))


def test_a_job_that_was_rung_for_in_the_future_is_rung_for_again():
    due = timezone.now() - timedelta(minutes=1)
    job = a_job(status="queued", not_before=due, rung_at=timezone.now() + HOURS)

    assert engine.sweep() == 1
    job.refresh_from_db()
    assert not ahead(job.rung_at, timedelta(0))


def test_a_sync_whose_worker_died_under_a_clock_that_ran_ahead_is_closed():
    (log_id,) = SyncLog.objects.open(CloudAccountFactory().pk, ["server"])
    SyncLog.objects.filter(pk=log_id).update(owner="dead", lease_until=Now() + HOURS)

    sweep_syncs()

    log = SyncLog.objects.get(pk=log_id)
    assert log.lease_until <= timezone.now() + lease_duration()
    state = SyncState.objects.create(
        account=log.account, region="R", owner="dead", lease_until=timezone.now() + HOURS
    )
    assert shorten_leases(SyncState.objects.filter(pk=state.pk)) == 1


def test_a_sync_log_that_was_rung_for_in_the_future_is_rung_for_again():
    (log_id,) = SyncLog.objects.open(CloudAccountFactory().pk, ["server"])
    SyncLog.objects.filter(pk=log_id).update(rung_at=Now() + HOURS)

    sweep_syncs()

    assert not ahead(SyncLog.objects.get(pk=log_id).rung_at, timedelta(0))


def test_a_full_listing_of_the_future_is_made_anew_and_its_picture_is_stale():
    vm = VirtualMachineFactory(openstack_id="00000000-0000-0000-0000-000000000001")
    later = timezone.now() + HOURS
    state = SyncState.objects.create(
        account=vm.account, region=vm.region, listed_at=later, full_listed_at=later, changes_from=later
    )

    assert is_full_run_due(state)
    assert list(select_stale_states()) == [state]


def test_a_success_of_the_future_is_stale():
    account = CloudAccountFactory(sync_interval_minutes=10)
    logs = SyncLog.objects.open(account.pk, ["server"])
    SyncLog.objects.filter(pk__in=logs).update(state="success", ended_at=Now() + HOURS)
    type(account).objects.filter(pk=account.pk).update(created_at=Now() - HOURS)

    assert [one.stale for one in measure_staleness([account.pk])] == [True]


def test_a_pool_that_pauses_for_longer_than_any_does_goes_on():
    assert VolumePool(paused_until=timezone.now() + timedelta(minutes=50)).is_paused
    assert not VolumePool(paused_until=timezone.now() + HOURS).is_paused
    assert not VolumePool(paused_until=timezone.now() - HOURS).is_paused


def test_what_is_recent():
    now = timezone.now()
    within = timedelta(minutes=10)

    assert is_recent(now, within)
    assert is_recent(now + timedelta(seconds=30), within)
    assert not is_recent(now + HOURS, within)
    assert not is_recent(now - HOURS, within)
    assert not is_recent(None, within)
    assert queues.seconds_since_beat() is None
