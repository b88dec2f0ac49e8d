"""Deployments as jobs, with a program that keeps versions in files: what the database says is what happened."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.db.models import ProtectedError

from api.domain_errors import DomainError
from api.errors import status_of
from deploys.models import Deployment, MicroServiceInstance
from deploys.services import deployments
from deploys.services.deployments import DeployParams, Strategy
from tasks.models import EntityLock, Job, JobStatus
from tenants.scoping import Role, Scope
from tests.deploys.deploying import company
from tests.factories import TenantFactory
from tests.working import work

__all__ = ["company"]


def items(plan):
    return plan.deployment.items.order_by("host_name")


# --- What is done ------------------------------------------------------------------------------------------


def test_an_upgrade_goes_batch_by_batch_and_is_recorded_on_every_host(company):
    plan = company.deploy("1.0", "2.0", batch=3)
    held = company.instance(0)
    work()

    assert (held.locked, held.locked_by, held.status) == (True, plan.deployment, "upgrading")
    assert held.updated_by == company.user
    assert [len(batch) for batch in plan.batches] == [3, 1]
    first = {instance.host.hostname for instance in plan.batches[0]}
    assert {call.split()[0] for call in company.calls()[:3]} == first
    assert company.running() == company.recorded() == ["2.0"] * 4
    assert company.statuses() == ["running"] * 4
    company.assert_nothing_is_held()
    assert Job.objects.get(pk=plan.job.pk).status == JobStatus.SUCCEEDED
    plan.deployment.refresh_from_db()
    assert plan.deployment.ended_at is not None
    for item in items(plan):
        assert (item.result, item.from_version.label, item.code) == ("succeeded", "1.0", "ok")
        assert plan.deployment.created_at < item.started_at < item.ended_at
    assert not EntityLock.objects.exists()


def test_a_revert_puts_back_the_one_that_ran_before_and_nothing_higher(company):
    company.deploy("1.0", "3.0")
    work()
    offered = deployments.list_candidates(
        scope=company.scope,
        service_id=company.service.pk,
        version_id=company.versions["3.0"].pk,
        action="revert",
    )
    company.deploy("3.0", "1.0", batch="50%")
    assert company.statuses() == ["reverting"] * 4
    work()

    said = [(one.version.label, one.enabled, one.default) for one in offered]
    assert said == [("3.0", False, False), ("2.0", True, False), ("1.0", True, True)]
    assert company.running() == company.recorded() == ["1.0"] * 4


@pytest.mark.parametrize(
    ("batch", "sizes"), [(1, [1] * 4), (9, [4]), ("25%", [1] * 4), ("60%", [2, 2]), ("1%", [1] * 4)]
)
def test_a_batch_is_a_number_or_a_share_and_never_empty(company, batch, sizes):
    plan = company.deploy("1.0", "2.0", batch=batch, dry_run=True)

    assert [len(instances) for instances in plan.batches] == sizes
    assert plan.job is None
    assert not Deployment.objects.exists()
    assert not Job.objects.exists()
    company.assert_nothing_is_held()


def test_a_version_that_fails_is_put_back_and_too_many_failures_stop_the_rest(company):
    for n in range(4):
        company.is_sick(n, "2.0")
    plan = company.deploy("1.0", "2.0", batch=2, max_failures=1)
    work()

    assert company.running() == company.recorded() == ["1.0"] * 4
    assert company.statuses() == ["running"] * 4
    assert sorted(company.results(plan.deployment)) == ["reverted"] * 2 + ["skipped"] * 2
    job = Job.objects.get(pk=plan.job.pk)
    assert (job.status, job.outcome_code) == ("failed", "unhealthy")
    assert "2.0 does not start" in job.outcome_message
    company.assert_nothing_is_held()
    skipped = items(plan).filter(result="skipped")
    assert {item.started_at for item in skipped} == {None}
    assert all(item.message for item in skipped)


def test_as_many_failures_as_are_allowed_stop_nothing(company):
    plan = company.deploy("1.0", "2.0", max_failures=1, hosts=[0, 1, 2, 3])
    order = [batch[0].host.hostname for batch in plan.batches]
    company.is_sick(int(order[0][-1]), "2.0")
    work()

    assert sorted(company.running()) == sorted(company.recorded()) == ["1.0", "2.0", "2.0", "2.0"]
    assert Job.objects.get(pk=plan.job.pk).status == "failed"
    company.assert_nothing_is_held()


def test_without_auto_revert_a_failed_host_says_that_it_failed(company):
    company.is_sick(0, "2.0")
    plan = company.deploy("1.0", "2.0", hosts=[0], auto_revert=False)
    work()

    assert company.calls() == ["web-0 2.0"]
    assert company.statuses() == ["failed", "running", "running", "running"]
    assert (company.results(plan.deployment), company.recorded()[0]) == (["failed"], "1.0")
    company.assert_nothing_is_held()


def test_what_failed_can_be_tried_again_and_nothing_else_is_touched(company):
    mends = [company.is_sick(n, "2.0") for n in (1, 3)]
    plan = company.deploy("1.0", "2.0", batch=4)
    with pytest.raises(DomainError) as early:
        company.retry(plan.deployment.pk)
    work()
    for file in mends:
        file.unlink()
    (company.folder / "calls").unlink()
    again = company.retry(plan.deployment.pk)
    work()

    assert early.value.code == "still_running"
    assert sorted(company.calls()) == ["web-1 2.0", "web-3 2.0"]
    assert company.running() == company.recorded() == ["2.0"] * 4
    assert again.deployment.retry_of == plan.deployment
    with pytest.raises(DomainError) as over:
        company.retry(plan.deployment.pk)
    assert (status_of(over.value), over.value.code) == (409, "nothing_failed")
    company.assert_nothing_is_held()


def test_a_retry_never_takes_a_host_back_that_has_gone_on_since(company):
    """Host 1 failed to get 2.0 and has got 3.0 since: the old upgrade would now be a way down."""
    company.is_sick(1, "2.0")
    old = company.deploy("1.0", "2.0", batch=4, hosts=[1])
    work()
    company.deploy("1.0", "3.0", hosts=[1])
    work()

    with pytest.raises(DomainError) as refused:
        company.retry(old.deployment.pk)
    assert status_of(refused.value) == 409
    assert company.running()[1] == "3.0"


# --- What is refused ---------------------------------------------------------------------------------------


def test_what_is_held_is_refused_with_who_holds_it_since_when(company):
    first = company.deploy("1.0", "2.0", hosts=[0, 1], scope=company.operator("ann"))
    with pytest.raises(DomainError) as refused:
        company.deploy("1.0", "3.0", hosts=[1, 2])

    said = refused.value
    assert (status_of(said), said.code) == (409, "locked")
    (held,) = said.details["instances"]
    assert (held["deployment"], held["operator"]) == (str(first.deployment.pk), "ann")
    assert held["since"] == first.deployment.created_at.isoformat(timespec="seconds")
    for word in ["web-1", "ann", str(first.deployment.pk), held["since"]]:
        assert word in str(said.detail)
    assert not company.instance(2).locked
    assert Deployment.objects.count() == 1


def test_what_cannot_be_now_is_left_out_when_that_was_asked_for(company):
    first = company.deploy("1.0", "2.0", hosts=[0])
    MicroServiceInstance.objects.filter(host=company.hosts[1]).update(is_maintain=True)
    with pytest.raises(DomainError) as refused:
        company.deploy("1.0", "3.0", hosts=[1, 2])
    plan = company.deploy("1.0", "3.0", mode="valid", batch=4)
    work()

    assert (status_of(refused.value), refused.value.code) == (409, "under_maintenance")
    assert "web-1" in str(refused.value.detail)
    assert sorted(one["code"] for one in plan.left_out) == ["locked", "under_maintenance"]
    assert company.running() == company.recorded() == ["2.0", "1.0", "3.0", "3.0"]
    assert company.results(first.deployment) == ["succeeded"]
    with pytest.raises(DomainError) as nobody:
        company.deploy("1.0", "3.0", mode="valid")
    assert nobody.value.code == "under_maintenance"


def ask(company, **changes):
    """Ask for something that is all right but for the changes."""
    values = {
        "scope": company.scope,
        "service_id": company.service.pk,
        "version_id": company.versions["2.0"].pk,
        "action": "upgrade",
    }
    wish = {"dest_version": company.versions["3.0"].pk, "hosts": [company.hosts[0].pk]}
    wish |= {name: changes.pop(name) for name in list(changes) if name in wish}
    return deployments.deploy(**{**values, **changes}, params=DeployParams(**wish))


def test_nothing_is_believed(company):
    company.deploy("1.0", "2.0", hosts=[0])
    work()
    stranger = Scope(company.user, TenantFactory(), Role.ADMIN)
    broken = company.build("4.0", "failed")
    bare = company.build("5.0")
    bare.sha256 = ""
    bare.save()
    refusals = [
        ({"scope": stranger}, 404, "not_found"),
        ({"service_id": uuid4()}, 404, "not_found"),
        ({"version_id": uuid4()}, 404, "not_found"),
        ({"dest_version": uuid4()}, 404, "not_found"),
        ({"scope": Scope(company.user, company.tenant, Role.VIEWER)}, 403, "role_too_low"),
        ({"dest_version": broken.pk}, 409, "not_built"),
        ({"dest_version": bare.pk}, 409, "not_built"),
        ({"dest_version": company.versions["2.0"].pk}, 409, "wrong_side"),
        ({"dest_version": company.versions["1.0"].pk}, 409, "wrong_side"),
        ({"action": "revert"}, 409, "wrong_side"),
        ({"hosts": [company.hosts[1].pk]}, 400, "invalid"),
        ({"hosts": [company.hosts[0].pk, uuid4()]}, 400, "invalid"),
        ({"version_id": company.versions["1.0"].pk, "hosts": [company.hosts[0].pk]}, 400, "invalid"),
    ]
    before = Job.objects.count()
    for changes, status, code in refusals:
        with pytest.raises(DomainError) as refused:
            ask(company, **changes)
        found = refused.value
        said = (status_of(found), found.code)
        assert said == (status, code), changes
    assert Job.objects.count() == before
    company.assert_nothing_is_held()
    assert ask(company).job is not None


def test_the_version_that_ran_before_cannot_be_removed(company):
    company.deploy("1.0", "2.0", batch=4)
    work()

    for label in ("1.0", "2.0"):
        with pytest.raises(ProtectedError):
            company.versions[label].delete()
    company.versions["3.0"].delete()


def test_a_strategy_is_plain_by_default():
    assert Strategy() == Strategy(batch=1, pause=0, max_failures=0, auto_revert=True)
