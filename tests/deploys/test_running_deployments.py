"""What can be seen, asked and cancelled while a deployment runs; and hosts that are VMs."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from api.domain_errors import DomainError
from api.errors import status_of
from deploys.models import Deployment, DeploymentItem, MicroServiceInstance
from tasks import engine
from tasks.leases import LeaseLostError
from tasks.models import EntityLock, Job
from tenants.scoping import Role, Scope
from tests.deploys.deploying import company
from tests.factories import VirtualMachineFactory
from tests.working import work
from vms.models import VMStatus
from vms.services import control_vm, remove_vm

__all__ = ["company"]


@contextmanager
def working(company):
    """A worker beside the test; when the block is left, everybody wakes up and all has ended."""

    def run():
        try:
            work(60)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        company.wake()
        thread.join(60)


def until(happens, seconds=15):
    """Wait for something, and answer what it gave."""
    deadline = time.monotonic() + seconds
    while not (found := happens()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    return found


def items(plan):
    return plan.deployment.items.order_by("host_name")


# --- While it runs -----------------------------------------------------------------------------------------


def test_the_log_arrives_while_a_host_is_being_deployed_to_and_holds_no_secret(company):
    company.sleeps(0)
    plan = company.deploy("1.0", "2.0", hosts=[0])
    with working(company):
        item = until(lambda: items(plan).filter(log__contains="putting 2.0 on web-0").first(), 5)
        company.wake()

    assert item.result == "running"
    assert "hunter2" not in DeploymentItem.objects.get(pk=item.pk).log


def test_instances_are_unlocked_one_by_one(company):
    plan = company.deploy("1.0", "2.0")
    slow = int(plan.batches[1][0].host.hostname[-1])
    company.sleeps(slow)
    with working(company):
        until(lambda: f"web-{slow} 2.0" in company.calls())
        free = [company.instance(n).locked for n in range(4)].count(False)
        company.wake()

    assert free == 1
    company.assert_nothing_is_held()


def test_a_cancel_finishes_the_batch_in_hand_and_gives_the_rest_back_as_it_was(company):
    MicroServiceInstance.objects.update(status="stopped")
    plan = company.deploy("1.0", "2.0", batch=2)
    now = [int(one.host.hostname[-1]) for one in plan.batches[0]]
    later = [int(one.host.hostname[-1]) for one in plan.batches[1]]
    for n in now:
        company.sleeps(n)
    with working(company):
        until(company.calls)
        assert engine.cancel(plan.job)

    company.assert_nothing_is_held()
    assert Job.objects.get(pk=plan.job.pk).status == "cancelled"
    assert company.running() == company.recorded()
    for n in later:
        assert (company.recorded()[n], company.statuses()[n]) == ("1.0", "stopped")
    begun = items(plan).exclude(started_at=None)
    assert {item.result for item in begun} == {"succeeded"}
    assert {item.result for item in items(plan).filter(started_at=None)} == {"skipped"}
    again = company.retry(plan.deployment.pk)
    work()
    assert company.running() == company.recorded() == ["2.0"] * 4
    assert again.deployment.items.count() == 4 - begun.count()


def test_between_batches_it_waits_and_can_be_cancelled_there(company):
    plan = company.deploy("1.0", "2.0", batch=2, pause=900)
    with working(company):
        waiting = until(lambda: Job.objects.filter(kind="deploys.batch", data__paused=True).first())
        assert sorted(company.running()) == ["1.0", "1.0", "2.0", "2.0"]
        soon = Job.objects.get(pk=waiting.pk).not_before - timezone.now()
        engine.cancel(plan.job)

    assert sorted(company.results(plan.deployment)) == ["skipped"] * 2 + ["succeeded"] * 2
    company.assert_nothing_is_held()
    assert timedelta(seconds=800) < soon <= timedelta(seconds=900), soon


def test_a_pause_that_is_over_is_followed_by_the_next_batch(company):
    company.deploy("1.0", "2.0", batch=2, pause=900)
    with working(company):
        until(lambda: Job.objects.filter(kind="deploys.batch", data__paused=True).exists())
        until(
            lambda: Job.objects.filter(kind="deploys.batch", owner="", data__paused=True).update(
                not_before=timezone.now()
            )
        )

    assert company.running() == company.recorded() == ["2.0"] * 4


def test_a_failure_before_the_pause_ends_it_at_once(company):
    for n in range(4):
        company.is_sick(n, "2.0")
    plan = company.deploy("1.0", "2.0", batch=2, pause=900)
    work()

    assert sorted(company.results(plan.deployment)) == ["reverted"] * 2 + ["skipped"] * 2


def test_a_worker_that_has_lost_its_lease_stops_the_program_and_leaves_the_job_to_others(
    company, monkeypatch
):
    plan = company.deploy("1.0", "2.0", hosts=[0])
    company.sleeps(0)

    def lost():
        if company.calls():
            raise LeaseLostError

    with monkeypatch.context() as late:
        late.setattr("deploys.commands.instance.check_lease", lost)
        for kind in ("deploys.service", "deploys.batch", "deploys.instance"):
            engine.advance(Job.objects.get(kind=kind).pk)
    company.wake()
    time.sleep(0.1)

    assert (company.calls(), company.running()[0]) == (["web-0 2.0"], "1.0")
    assert (company.instance(0).locked, company.results(plan.deployment)) == (True, ["running"])
    Job.objects.filter(owner__gt="").update(lease_until=timezone.now())
    work()
    assert company.running()[0] == company.recorded()[0] == "2.0"
    company.assert_nothing_is_held()


# --- Hosts that are VMs ------------------------------------------------------------------------------------


@pytest.fixture
def vm(company):
    """The VM that host 0 is."""
    found = VirtualMachineFactory(information_system=company.system, status=VMStatus.RUNNING)
    company.hosts[0].vm = found
    company.hosts[0].save()
    return found


def test_a_vm_that_is_deployed_to_is_neither_restarted_nor_removed(company, vm):
    administrator = Scope(company.user, company.tenant, Role.ADMIN)
    plan = company.deploy("1.0", "2.0", hosts=[0])

    with pytest.raises(DomainError) as busy:
        control_vm(scope=company.scope, vm_id=vm.pk, action="restart")
    work()
    with pytest.raises(DomainError) as kept:
        remove_vm(scope=administrator, vm_id=vm.pk)

    assert (status_of(busy.value), busy.value.code) == (409, "busy")
    assert busy.value.job == plan.job
    assert (status_of(kept.value), kept.value.code) == (409, "has_instances")
    assert "shop" in str(kept.value.detail)
    assert not EntityLock.objects.exists()


@pytest.mark.parametrize("dry_run", [False, True])
def test_nothing_is_deployed_to_a_vm_that_is_being_restarted(company, vm, dry_run):
    job = control_vm(scope=company.scope, vm_id=vm.pk, action="restart").job

    with pytest.raises(DomainError) as busy:
        company.deploy("1.0", "2.0", dry_run=dry_run)

    assert (busy.value.code, busy.value.job) == ("busy", job)
    company.assert_nothing_is_held()
    assert not Deployment.objects.exists()


def test_with_the_mode_valid_a_vm_that_is_being_restarted_is_left_out(company, vm):
    control_vm(scope=company.scope, vm_id=vm.pk, action="restart")

    plan = company.deploy("1.0", "2.0", mode="valid", batch=4)

    assert [one["host"] for one in plan.left_out] == [str(company.hosts[0])]
    assert plan.left_out[0]["code"] == "busy"
    assert [one.host for batch in plan.batches for one in batch] == company.hosts[1:]


def test_a_host_that_is_through_can_be_had_while_the_rest_goes_on(company):
    """It was unlocked when its own part ended; nothing else may hold it then."""
    company.sleeps(1)
    plan = company.deploy("1.0", "2.0", hosts=[0, 1], batch=2)
    # One worker waits on the second host; the other one goes on.
    with working(company), working(company):
        until(lambda: [item.result for item in items(plan)] == ["succeeded", "running"])

        company.deploy("2.0", "3.0", hosts=[0])
    assert company.running()[:2] == ["3.0", "2.0"]
    company.assert_nothing_is_held()
