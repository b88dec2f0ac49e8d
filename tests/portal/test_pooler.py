"""The portal behind PgBouncer in transaction mode: what breaks there without the setting, and works with it."""

from __future__ import annotations

from contextlib import closing, contextmanager

import psycopg2
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import Error, OperationalError, connections, transaction
from django.db.backends.postgresql.base import DatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder

from api.database_errors import is_lock_timeout
from api.row_batches import iterate_rows
from portal.beat import BEAT_LOCK
from portal.direct_connection import create_direct_connection, use_direct_connection
from tenants.models import InformationSystem
from tests.factories import InformationSystemFactory
from tests.pgbouncer import start_pgbouncer
from tests.portal.test_service_urls import read_settings

__all__ = ["read_settings"]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def pooler():
    """One connection to PostgreSQL for all clients, so that two of them always share a session."""
    with start_pgbouncer(pool_size=1) as pooler:
        yield pooler


@contextmanager
def connected(database):
    """A connection of Django with an entry of `DATABASES`."""
    with closing(DatabaseWrapper(connections["default"].settings_dict | database, "default")) as connection:
        yield connection


@contextmanager
def as_default(connection):
    """Let models use this connection while the block runs."""
    usual, connections["default"] = connections["default"], connection
    try:
        yield
    finally:
        connections["default"] = usual


def as_if_direct(database):
    """The entry for the pooler without the setting, as far as PgBouncer lets it connect at all."""
    options = {name: value for name, value in database["OPTIONS"].items() if name != "options"}
    return database | {"DISABLE_SERVER_SIDE_CURSORS": False, "OPTIONS": options}


def try_beat_lock(connection):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [BEAT_LOCK])
        return cursor.fetchone()[0]


def test_pgbouncer_refuses_the_lock_timeout_of_a_connection_unless_the_setting_is_on(pooler, read_settings):
    refused = read_settings(DATABASE_URL=pooler.url)["DATABASES"]["default"]
    accepted = read_settings(**pooler.environment)["DATABASES"]["default"]

    with connected(refused) as connection, pytest.raises(OperationalError, match="startup parameter"):
        connection.ensure_connection()
    with connected(accepted) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("5s",)


def test_a_pooler_without_lock_timeout_is_refused(read_settings, settings):
    with start_pgbouncer(pool_size=1, lock_timeout=None) as pooler:
        database = read_settings(**pooler.environment)["DATABASES"]["default"]

        with connected(database) as connection:
            connection.ensure_connection()
            with connection.cursor() as cursor:
                cursor.execute("SHOW lock_timeout")
                assert cursor.fetchone() == ("0",), "it would wait for locks without an end"
        settings.DATABASE_POOLER = "transaction"
        with connected(database) as connection:
            with pytest.raises(OperationalError, match="connect_query='SET lock_timeout = 5000'"):
                connection.ensure_connection()
            assert connection.connection is None


def test_two_beats_both_lead_through_a_pooler_and_one_of_them_directly(pooler, read_settings, settings):
    known = read_settings(**pooler.environment)
    with (
        connected(known["DATABASES"]["default"]) as first,
        connected(known["DATABASES"]["default"]) as second,
    ):
        assert (try_beat_lock(first), try_beat_lock(second)) == (True, True)
        # The session of both belongs to the pooler, and would keep the lock after their end.
        with first.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock_all()")

    settings.DATABASE_DIRECT = known["DATABASE_DIRECT"]
    with closing(create_direct_connection()) as first, closing(create_direct_connection()) as second:
        assert (try_beat_lock(first), try_beat_lock(second)) == (True, False)


def test_an_export_reads_all_rows_without_a_cursor_that_outlives_its_transaction(
    read_settings, django_assert_num_queries
):
    for number in range(5):
        InformationSystemFactory(name=f"system {number}")
    rows = InformationSystem.objects.order_by("-name").select_related("tenant")

    with start_pgbouncer(pool_size=2) as pooler:
        database = read_settings(**pooler.environment)["DATABASES"]["default"]
        with connected(as_if_direct(database)) as connection, as_default(connection):
            found = iterate_rows(rows, per_fetch=2)
            next(found)
            with session_taken(database), pytest.raises((Error, psycopg2.Error), match="does not exist"):
                list(found)

        with connected(database) as connection, as_default(connection):
            found = iterate_rows(rows, per_fetch=2)
            names = [next(found).name]
            with session_taken(database), django_assert_num_queries(2, connection=connection):
                names += [row.name for row in found]
    assert names == [f"system {number}" for number in reversed(range(5))]


@contextmanager
def session_taken(database):
    """Another client's transaction has the session that was used last, while the block runs."""
    with connected(database) as other:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("SELECT 1")
        yield


def test_a_row_lock_is_waited_for_no_longer_than_connect_query_says(read_settings):
    system = InformationSystemFactory()
    locking = InformationSystem.objects.select_for_update().filter(pk=system.pk)
    with start_pgbouncer(pool_size=1, lock_timeout=200) as pooler, transaction.atomic():
        assert locking.get()
        database = read_settings(**pooler.environment)["DATABASES"]["default"]

        with connected(database) as connection, as_default(connection):
            with pytest.raises(OperationalError) as refused, transaction.atomic():
                locking.get()
            assert is_lock_timeout(refused.value)


def test_migrations_run_beside_the_pooler(pooler, read_settings, settings, capsys):
    known = read_settings(**pooler.environment)
    settings.DATABASE_POOLER, settings.DATABASE_DIRECT = "transaction", known["DATABASE_DIRECT"]
    with connected(known["DATABASES"]["default"]) as connection, as_default(connection):
        with use_direct_connection():
            assert connections["default"].settings_dict["PORT"] == known["DATABASE_DIRECT"]["PORT"]
        call_command("migrate", verbosity=1)

        assert connections["default"] is connection
        assert connection.connection is None, "the pooler was used"
        assert MigrationRecorder(connection).applied_migrations()
    assert "No migrations to apply" in capsys.readouterr().out


def test_a_pooler_without_a_direct_address_is_refused(read_settings):
    with pytest.raises(ImproperlyConfigured, match="DATABASE_DIRECT_URL is not"):
        read_settings(DATABASE_POOLER="transaction")
    with pytest.raises(ImproperlyConfigured, match="'session'"):
        read_settings(DATABASE_POOLER="session")
