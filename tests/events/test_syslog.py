"""Forwarding to a syslog server: every event of every tenant in its order, also when the server is away meanwhile."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from events import syslog
from events.models import Event, EventChain
from events.recording import record_event
from tests.factories import TenantFactory

pytestmark = pytest.mark.django_db

HEAD = re.compile(
    rb'<(\d+)>1 (\S+) (\S+) portal - (\S+) \[event@32473 tenant="((?:[^"\\\]]|\\.)*)" number="(\d+)" digest="(\w{64})"\] \xef\xbb\xbf'
)


class SyslogServer:
    """A server that reads each connection to its end and splits it by its octet counts."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            content = b""
            with connection:
                while part := connection.recv(65536):
                    content += part
            while content:
                length, _space, rest = content.partition(b" ")
                self.messages.append(rest[: int(length)])
                content = rest[int(length) :]

    def close(self) -> None:
        self._listener.close()

    def parse(self) -> list[tuple[int, str, str, int, Any]]:
        """Return priority, code, tenant, number and event of each message."""
        found = []
        for message in self.messages:
            head = HEAD.match(message)
            assert head, message
            content = json.loads(message[head.end() :])
            found.append((int(head[1]), head[4].decode(), head[5].decode(), int(head[6]), content))
        return found


@pytest.fixture
def server() -> Iterator[SyslogServer]:
    running = SyslogServer()
    yield running
    running.close()


def record(tenant: Any, *codes: str) -> None:
    for code in codes:
        record_event(
            code, tenant_id=tenant.pk if tenant else None, object_type="host", object_name='web"]\n云'
        )


def test_every_event_is_forwarded_once_in_its_order(
    server: SyslogServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syslog, "BATCH", 2)
    first, second = TenantFactory(slug="first"), TenantFactory(slug="second")
    Event.objects.all().delete()
    record(first, "host.created", "host.changed", "task.failed")
    record(second, "request.refused")
    record(None, "user.changed")

    assert syslog.forward_events(server.url) == 5
    assert syslog.forward_events(server.url) == 0

    messages = server.parse()
    assert sorted(
        (tenant, number, code, priority) for priority, code, tenant, number, _event in messages
    ) == [
        ("", 1, "user.changed", 110),
        ("first", 1, "host.created", 110),
        ("first", 2, "host.changed", 110),
        ("first", 3, "task.failed", 108),
        ("second", 1, "request.refused", 108),
    ]
    assert [number for _priority, _code, tenant, number, _event in messages if tenant == "first"] == [1, 2, 3]
    assert {event["object"]["name"] for *_rest, event in messages} == {'web"]\n云'}


def test_a_server_that_is_away_gets_what_it_has_missed(server: SyslogServer) -> None:
    tenant = TenantFactory()
    record(tenant, "host.created")
    with socket.create_server(("127.0.0.1", 0)) as unused:
        gone = f"tcp://127.0.0.1:{unused.getsockname()[1]}"

    with pytest.raises(syslog.ForwardingError, match="Connection refused"):
        syslog.forward_events(gone)
    assert not EventChain.objects.filter(forwarded_number__gt=0).exists()

    record(tenant, "host.changed")
    syslog.forward_events(server.url)
    codes = [code for _priority, code, slug, _number, _event in server.parse() if slug == tenant.slug]
    assert codes[-2:] == ["host.created", "host.changed"]


def test_a_server_that_breaks_off_gets_the_batch_again(server: SyslogServer) -> None:
    tenant = TenantFactory()
    Event.objects.all().delete()
    record(tenant, *["host.changed"] * 400)
    breaking = socket.create_server(("127.0.0.1", 0))

    def break_off() -> None:
        connection, _address = breaking.accept()
        connection.recv(10)
        # With unread data, closing sends a reset.
        connection.close()

    thread = threading.Thread(target=break_off)
    thread.start()
    with pytest.raises(syslog.ForwardingError):
        syslog.forward_events(f"tcp://127.0.0.1:{breaking.getsockname()[1]}")
    thread.join()
    breaking.close()

    assert syslog.forward_events(server.url) == 400
    assert [number for *_head, number, _event in server.parse()] == list(range(1, 401))


def test_a_url_of_another_kind_is_refused() -> None:
    record(TenantFactory(), "host.changed")
    with pytest.raises(syslog.ForwardingError, match="udp"):
        syslog.forward_events("udp://127.0.0.1:514")
