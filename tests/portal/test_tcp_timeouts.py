"""Connections to a machine that has disappeared end soon, at both ends. `tests.faults hosts` cuts real ones."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest
import redis
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from portal.celery import app
from portal.direct_connection import create_direct_connection
from tasks.dispatch import dispatch_task
from tests.conftest import flush_broker
from tests.portal.test_service_urls import read_settings

__all__ = ["read_settings"]

PROBES = {
    socket.TCP_KEEPIDLE: 5,
    socket.TCP_KEEPINTVL: 5,
    socket.TCP_KEEPCNT: 3,
    socket.TCP_USER_TIMEOUT: 15_000,
}


def read_options(descriptor):
    """The options of an open socket that say when the kernel gives its other end up."""
    with socket.fromfd(descriptor, socket.AF_INET, socket.SOCK_STREAM) as copy:
        assert copy.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        return {name: copy.getsockopt(socket.IPPROTO_TCP, name) for name in PROBES}


@pytest.mark.django_db
def test_both_ends_of_a_database_connection_notice_that_the_other_one_is_gone():
    # Beat's connection is another one, and its lock must be freed as well.
    with closing(create_direct_connection()) as direct:
        for one in (connection, direct):
            one.ensure_connection()
            with one.cursor() as cursor:
                cursor.execute(
                    "SELECT name, setting FROM pg_settings WHERE name LIKE 'tcp\\_%' ORDER BY name COLLATE \"C\""
                )
                ends = dict(cursor.fetchall())

            assert read_options(one.connection.fileno()) == PROBES
            assert ends == {
                "tcp_keepalives_count": "3",
                "tcp_keepalives_idle": "5",
                "tcp_keepalives_interval": "5",
                "tcp_user_timeout": "15000",
            }


def test_a_worker_notices_that_the_broker_is_gone():
    with app.connection_for_read() as broker:
        broker.connect()
        client = broker.default_channel.client
        connected = client.connection_pool.get_connection()
        try:
            assert read_options(connected._sock.fileno()) == PROBES
        finally:
            client.connection_pool.release(connected)


@pytest.mark.django_db(transaction=True)
def test_a_message_over_a_connection_that_has_ended_is_sent_over_a_new_one():
    """As after a cut of the network: the kernel has given the connection up, and nobody has noticed."""
    server = redis.Redis.from_url(settings.CELERY_BROKER_URL)
    before = server.llen("polling")
    with app.producer_or_acquire() as producer:
        # The connections for sending; `client` has others.
        pool = producer.channel.pool
        used = pool.get_connection()
        # When the kernel gives a connection up, redis-py takes its ETIMEDOUT for "no data" (both are Python's `TimeoutError`),
        # and only the next write fails.
        used.can_read = lambda *_arguments, **_options: False
        used._sock.shutdown(socket.SHUT_WR)
        pool.release(used)

    dispatch_task("tasks.poll", ("nobody", "nothing"))

    assert server.llen("polling") == before + 1
    server.close()
    flush_broker()


def test_the_time_is_one_setting_and_the_address_goes_before_it(read_settings, monkeypatch):
    monkeypatch.setenv("TCP_TIMEOUT_SECONDS", "60")
    options = read_settings(DATABASE_URL="postgresql://u@db.example.org/portal?tcp_user_timeout=9000")[
        "DATABASES"
    ]["default"]["OPTIONS"]

    assert (options["tcp_user_timeout"], options["keepalives_idle"]) == (9000, 20)
    assert "tcp_user_timeout=60000" in options["options"]

    monkeypatch.setenv("TCP_TIMEOUT_SECONDS", "2")
    with pytest.raises(ImproperlyConfigured, match="TCP_TIMEOUT_SECONDS is 2"):
        read_settings()


def test_a_replica_is_given_up_sooner(read_settings):
    databases = read_settings(
        DATABASE_URL="postgresql://u@db.example.org/portal",
        DATABASE_REPLICA_URL="postgresql://u@standby.example.org/portal",
    )["DATABASES"]

    assert databases["replica"]["OPTIONS"]["tcp_user_timeout"] == 3000
    assert databases["default"]["OPTIONS"]["tcp_user_timeout"] == 15_000
