"""`manage.py migrate` lets requests pass instead of waiting in front of them."""

from __future__ import annotations

import threading
from io import StringIO

import psycopg2
import pytest
from django.core.management import call_command
from django.db import connection

from portal.management.commands.migrate import limit_lock_wait
from tests.web_processes import get_test_database_url

pytestmark = pytest.mark.django_db(transaction=True)


def show_lock_timeout():
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        return cursor.fetchone()[0]


def test_what_is_built_concurrently_waits_and_nothing_else():
    usual = show_lock_timeout()
    with connection.execute_wrapper(limit_lock_wait), connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("500ms",)
        cursor.execute("SELECT current_setting('lock_timeout') -- CONCURRENTLY")
        assert cursor.fetchone() == ("0",)
    with connection.cursor() as cursor:
        cursor.execute("RESET lock_timeout")
    assert show_lock_timeout() == usual


def test_a_lock_that_is_not_free_is_tried_again():
    usual, printed = show_lock_timeout(), StringIO()
    holder = psycopg2.connect(get_test_database_url())
    holder.cursor().execute("LOCK TABLE django_migrations IN ACCESS EXCLUSIVE MODE")
    free = threading.Timer(1.5, holder.close)
    free.start()
    try:
        call_command("migrate", verbosity=0, stdout=printed, stderr=printed)
    finally:
        free.join()

    assert "A lock was not free" in printed.getvalue()
    assert show_lock_timeout() == usual
