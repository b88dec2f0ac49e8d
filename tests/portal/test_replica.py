"""The decisions about a replica that need none: where a query goes, what a user has to see, and how far behind it is."""

from __future__ import annotations

import socket
import threading

import psycopg2
import pytest
from django.contrib.auth.models import Permission
from django.contrib.sessions.models import Session
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connection, transaction

from api.models import ApiToken
from api.replica.deadlines import cut_overdue_reads, read_deadline
from api.replica.lag import LagMeter
from api.replica.positions import fetch_position, remember_position
from api.replica.probes import Probe
from api.replica.routing import ReplicaRouter, allow_replica
from tasks.models import Job
from tenants.models import InformationSystem, Membership, Tenant, User
from tests.conftest import flush_broker
from tests.factories import UserFactory
from tests.portal.test_service_urls import read_settings
from tests.working import wait_for
from vms.models import VirtualMachine

__all__ = ["read_settings"]

REPLICA_URL = "postgresql://portal@standby.example.org:5432/portal"


@pytest.mark.django_db(transaction=True)
def test_only_rows_of_lists_are_read_from_the_replica_and_only_where_it_is_allowed():
    router = ReplicaRouter()

    assert router.db_for_read(VirtualMachine) == "default"
    with allow_replica():
        read = {model: router.db_for_read(model) for model in (VirtualMachine, Job, InformationSystem)}
        access = (User, Tenant, Membership, ApiToken, Session, Permission)
        decided = {model: router.db_for_read(model) for model in access}
        with transaction.atomic():
            within_transaction = router.db_for_read(VirtualMachine)
        # For staff without permissions: it joins memberships.
        VirtualMachine.objects.of_member(User())
        joined = router.db_for_read(VirtualMachine)
    assert set(read.values()) == {"replica"}
    assert set(decided.values()) == {"default"}
    assert within_transaction == "default"
    assert joined == "default"


def test_nothing_is_written_to_the_replica_not_even_what_was_read_from_it():
    vm = VirtualMachine()
    vm._state.db = "replica"

    assert ReplicaRouter().db_for_write(VirtualMachine, instance=vm) == "default"
    assert ReplicaRouter().allow_migrate("replica", "vms") is False


def test_the_lag_is_the_age_of_the_last_position_that_was_replayed():
    meter = LagMeter(keep_seconds=60)
    meter.add(100, 1000)
    meter.add(101, 2000)

    assert meter.measure(101.5, replayed=2000) == 0.5
    assert meter.measure(101.5, replayed=1999) == 1.5
    assert meter.measure(101.5, replayed=999) is None

    # An idle primary: nothing is missing, and the lag does not grow.
    meter.add(150, 2000)
    assert meter.measure(150.5, replayed=2000) == 0.5
    # After a failover, the log goes on below what was written and lost.
    meter.add(151, 1500)
    assert meter.measure(151.5, replayed=1400) == 51.5
    meter.add(200, 3000)
    assert meter.measure(200, replayed=1400) is None, "what is older than a minute is forgotten"


@pytest.mark.django_db(transaction=True)
def test_a_user_has_to_see_the_latest_of_their_changes_whichever_request_ends_last(settings):
    flush_broker()  # Another test may have kept a position for everybody.
    user = UserFactory()
    remember_position(user.pk)
    assert fetch_position(user.pk) is None, "without a replica, nothing is kept"

    settings.HAS_DATABASE_REPLICA = True
    remember_position(user.pk)
    first = fetch_position(user.pk)
    UserFactory()
    remember_position(user.pk)
    second = fetch_position(user.pk)
    assert second > first

    # A request that has read its position before, and keeps it after.
    with connection.execute_wrapper(lambda execute, _sql, *rest: execute(f"SELECT {first}", *rest)):
        remember_position(user.pk)
    assert fetch_position(user.pk) == second


def test_without_the_setting_there_is_one_database_and_no_router(read_settings):
    known = read_settings()

    assert (list(known["DATABASES"]), known["DATABASE_ROUTERS"]) == (["default"], [])


def test_the_replica_is_given_up_soon_and_never_written_to(read_settings):
    known = read_settings(DATABASE_REPLICA_URL=REPLICA_URL, DATABASE_PASSWORD="a@b")
    replica = known["DATABASES"]["replica"]

    assert (replica["HOST"], replica["PASSWORD"]) == ("standby.example.org", "a@b")
    assert replica["OPTIONS"]["connect_timeout"] == 2
    assert "default_transaction_read_only=on" in replica["OPTIONS"]["options"]
    assert "read_only" not in known["DATABASES"]["default"]["OPTIONS"]["options"]

    behind_pooler = read_settings(
        DATABASE_REPLICA_URL=REPLICA_URL,
        DATABASE_POOLER="transaction",
        DATABASE_DIRECT_URL="postgresql://portal@db.example.org:5432/portal",
    )["DATABASES"]["replica"]
    assert "options" not in behind_pooler["OPTIONS"]
    assert behind_pooler["DISABLE_SERVER_SIDE_CURSORS"]


def test_a_lag_that_cannot_be_measured_is_refused(read_settings):
    with pytest.raises(ImproperlyConfigured, match=r"DATABASE_REPLICA_MAX_LAG_SECONDS is 1\.5"):
        read_settings(DATABASE_REPLICA_URL=REPLICA_URL, DATABASE_REPLICA_MAX_LAG_SECONDS="1.5")


@pytest.mark.django_db(transaction=True)
def test_a_read_that_is_overdue_is_cut_off():
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    # The query ends when its connection does, however long it would take.
    cutting = threading.Thread(target=lambda: wait_for("the read is cut off", cut_overdue_reads))
    with read_deadline("default", 0), pytest.raises(OperationalError):
        cutting.start()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(100)")
    cutting.join()
    connection.close()

    assert cut_overdue_reads() == 0


def test_a_server_that_is_silent_is_not_waited_for(monkeypatch):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        monkeypatch.setitem(connection.settings_dict, "PORT", listener.getsockname()[1])

        with pytest.raises(psycopg2.OperationalError, match="No answer within"):
            Probe("default", answer_seconds=0.1).fetch_row("SELECT 1")
