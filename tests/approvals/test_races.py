"""Many people at once, and processes that die between a request, its approval and its job."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from django.db import IntegrityError, connection

from api.domain_errors import ConflictError
from approvals.models import ApprovalDecision, ApprovalRequest, ApprovalRequestQuerySet
from approvals.services import approve_request
from tasks.models import EntityLock, Job
from tenants.scoping import Role, Scope
from tests.factories import MembershipFactory
from tests.web_processes import get_test_database_url
from tests.working import work

from .test_requests import decide, requested, stop

pytestmark = [pytest.mark.usefixtures("catalogue"), pytest.mark.django_db(transaction=True)]
REPOSITORY = Path(__file__).resolve().parents[2]


def simultaneously(calls):
    """Make calls at the same moment, each in a thread with a connection of its own; return their results or errors."""
    start, results = threading.Barrier(len(calls)), []

    def run(call):
        try:
            start.wait(30)
            results.append(call())
        except Exception as error:  # noqa: BLE001 - the test looks at it.
            results.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[call]) for call in calls]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    return results


def approvals_at_once(tenant, request, count):
    scopes = [
        Scope(member.user, tenant, Role.ADMIN)
        for member in MembershipFactory.create_batch(count, tenant=tenant, role=Role.ADMIN)
    ]
    return simultaneously(
        [lambda scope=scope: approve_request(scope=scope, request_id=request["id"]) for scope in scopes]
    )


@pytest.mark.parametrize("count", [8, pytest.param(100, marks=pytest.mark.story)])
def test_many_approvers_at_once_are_one_decision_and_one_job(admin, system, tenant, policy, cloud, count):
    request = requested(admin.new_vm(system))

    results = approvals_at_once(tenant, request, count)

    refused = [result for result in results if isinstance(result, ConflictError)]
    (approved,) = [result for result in results if not isinstance(result, Exception)]
    assert len(refused) == count - 1, results
    decision = ApprovalDecision.objects.get()
    assert {(one.code, one.details["decided_by"]) for one in refused} == {
        ("already_decided", decision.user_name)
    }
    assert [job.pk for job in approved.jobs] == [Job.objects.get().pk]
    work()
    assert [server["name"] for server in cloud.call("GET", "objects")["servers"]] == ["shop-1"]


def test_without_the_lock_approvers_at_once_get_errors(admin, system, tenant, policy, monkeypatch):
    """The test before would fail without the lock. The constraint still keeps the second decision out."""
    request = requested(admin.new_vm(system))
    monkeypatch.setattr(ApprovalRequestQuerySet, "select_for_update", lambda self, **options: self)

    results = approvals_at_once(tenant, request, 8)

    assert [result for result in results if isinstance(result, IntegrityError)]
    assert Job.objects.count() == 1


def test_the_same_request_at_once_is_one_request(add_approver, tenant, vm, policy):
    clients = [add_approver(Role.OPERATOR) for _ in range(6)]

    answers = simultaneously([lambda client=client: stop(client, vm) for client in clients])

    assert [answer.status_code for answer in answers] == [202] * 6
    assert len({answer.json()["request"]["id"] for answer in answers}) == 1
    assert ApprovalRequest.objects.count() == 1


# --- Deaths ------------------------------------------------------------------------------------------------

REQUEST = """
client.force_authenticate(User.objects.get(username=sys.argv[1]))
client.post(f"/api/v1/vms/{sys.argv[2]}/actions/", {"action": "stop"}, format="json", HTTP_IDEMPOTENCY_KEY="k")
"""
APPROVE = """
client.force_authenticate(User.objects.get(username=sys.argv[1]))
client.post(f"/api/v1/requests/{sys.argv[2]}/approve/", {}, format="json", HTTP_IDEMPOTENCY_KEY="k")
"""
SETUP = """
import os, sys
import django
django.setup()
from rest_framework.test import APIClient
from tenants.models import User
client = APIClient()
"""


def run_until_killed(point, tmp_path, code, user, object_id):
    """Run a request in a process of its own, which dies at a crash point."""
    process = subprocess.run(
        [sys.executable, "-c", SETUP + code, user.username, str(object_id)],
        cwd=REPOSITORY,
        env={
            **os.environ,
            "DATABASE_URL": get_test_database_url(),
            "PORTAL_CRASH_AT": f"{point}:{tmp_path / point}",
        },
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == -9, process.stderr.decode()[-2000:]


@pytest.mark.story
def test_a_death_after_the_request_leaves_one_that_waits(add_approver, vm, policy, tmp_path):
    operator, approver = add_approver(Role.OPERATOR), add_approver()

    run_until_killed("request_recorded", tmp_path, REQUEST, operator.member.user, vm.pk)

    request = requested(
        operator.post(
            f"/api/v1/vms/{vm.pk}/actions/", {"action": "stop"}, format="json", HTTP_IDEMPOTENCY_KEY="k"
        )
    )
    assert ApprovalRequest.objects.count() == 1
    assert not Job.objects.exists()
    assert decide(approver, request).status_code == 202


@pytest.mark.story
@pytest.mark.parametrize("point", ["approval_locked", "approval_submitted", "approved", "submitted"])
def test_a_death_during_the_approval_leaves_all_of_it_or_nothing(add_approver, vm, policy, tmp_path, point):
    """And the same click again, by somebody whose browser has got no answer, carries it out once."""
    operator, approver = add_approver(Role.OPERATOR), add_approver()
    request = requested(stop(operator, vm))

    run_until_killed(point, tmp_path, APPROVE, approver.member.user, request["id"])

    found = ApprovalRequest.objects.get()
    is_committed = point in {"approved", "submitted"}
    assert (found.status, found.decisions.count(), Job.objects.count()) == (
        ("approved", 1, 1) if is_committed else ("pending", 0, 0)
    )
    assert EntityLock.objects.count() == Job.objects.count()
    again = approver.post(
        f"/api/v1/requests/{request['id']}/approve/", {}, format="json", HTTP_IDEMPOTENCY_KEY="k"
    )
    assert again.status_code == 202, again.json()
    assert again.json()["job"]["id"] == str(Job.objects.get().pk)
    assert ApprovalDecision.objects.count() == 1
