"""Many users create VMs at the same moment, and the tenant's quota has room for some: of a hundred for sixty, by default of 20 for 12."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest
from django.db import OperationalError, connection
from django.db.models import QuerySet

from api.database_errors import is_lock_timeout
from api.domain_errors import DomainError
from api.errors import status_of
from tasks.models import EntityLock, Job
from tenants.models import Tenant
from tenants.quotas import measure_usage
from tests.stories import ALL
from vms.models import VirtualMachine

from .creation.stage import Stage
from .killable_worker import killable_worker

pytestmark = pytest.mark.django_db(transaction=True)

PEOPLE, QUOTA = (100, 60) if ALL else (20, 12)


@pytest.fixture
def stage(cloud, account):
    stage = Stage.of(cloud, account)
    stage.clear()
    Tenant.objects.update(quota_vms=QUOTA)
    stage.system.tenant.refresh_from_db()
    return stage


def request_patiently(stage, name):
    """Request a creation again while its answer is that the tenant's row was locked for too long, as the API says (409 `busy`)."""
    for _attempt in range(100):
        try:
            return stage.request_vm(name=name)
        except OperationalError as error:
            connection.close()
            if not is_lock_timeout(error):
                raise
    raise AssertionError(f"{name} met a lock a hundred times")


def connect_patiently():
    """Connect again when the server takes no connection yet: a hundred at once are many for a busy machine."""
    for _attempt in range(100):
        try:
            return connection.ensure_connection()
        except OperationalError:
            time.sleep(0.2)
    raise AssertionError("The server has taken no connection for a long time.")


def create_at_once(stage, count=PEOPLE):
    """Request this many creations at once, each in a thread with its own connection; return the results and errors."""
    together, came = threading.Barrier(count), [None] * count

    def one(number):
        try:
            connect_patiently()
            together.wait(100)
            came[number] = request_patiently(stage, f"vm-{number}")
        except Exception as error:  # noqa: BLE001 - what it raised is what the test asks about.
            came[number] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return came


def test_as_many_are_created_as_the_quota_has_room_for(stage):
    came = create_at_once(stage)

    refused = [error for error in came if isinstance(error, DomainError)]
    assert Counter(type(one).__name__ for one in came) == {"Job": QUOTA, "ConflictError": PEOPLE - QUOTA}
    assert {(status_of(error), error.code) for error in refused} == {(409, "quota_exceeded")}
    figures = {"vms": {"needed": 1, "left": 0, "total": QUOTA}}
    assert all(error.details["quota"] == figures for error in refused)
    assert VirtualMachine.objects.count() == QUOTA
    assert Job.objects.count() == EntityLock.objects.count() == QUOTA
    assert measure_usage(stage.system.tenant)["vms"] == {"used": QUOTA, "total": QUOTA}

    with killable_worker() as worker:
        worker.settle()

    assert set(Job.objects.values_list("status", flat=True)) == {"succeeded"}
    assert len(stage.list_new_servers()) == QUOTA
    assert stage.find_violations() == {}


@pytest.mark.story
def test_without_the_lock_on_the_tenant_there_are_too_many(stage, monkeypatch):
    """The first test would fail without the lock on the tenant's row."""
    monkeypatch.setattr(QuerySet, "select_for_update", lambda rows, **options: rows)

    create_at_once(stage)

    assert VirtualMachine.objects.count() > QUOTA, "nobody met anybody"
    assert measure_usage(stage.system.tenant)["vms"]["used"] > QUOTA
