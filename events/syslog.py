"""Forward events to a syslog server: RFC 5424 messages over TCP or TLS, with octet counting (RFC 6587, RFC 5425).

Each chain of events remembers up to which number it was forwarded. A batch counts as forwarded when the server has read the
connection to its end, so a server that is away or is restarted meanwhile loses nothing; it may get a batch twice. UDP is not
offered: nobody would know what has arrived.
"""

from __future__ import annotations

import fcntl
import json
import socket
import ssl
import struct
import termios
from collections.abc import Sequence
from datetime import UTC
from typing import Any
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.db.models import F
from django.utils import translation

from .labels import find_outcome
from .models import Event, EventChain
from .numbering import number_all_events
from .serializers import EventSerializer

log = structlog.get_logger(__name__)

BATCH = 500
# A run ends after so many events of all tenants; the next one goes on.
EVENTS_PER_RUN = 20_000
CONNECT_SECONDS = 10.0
DEFAULT_PORTS = {"tcp": 601, "tls": 6514}
# "log audit" of RFC 5424, with the severities "informational" and "warning".
FACILITY = 13
SEVERITIES = {"done": 6, "failed": 4, "refused": 4}
# The number of RFC 5612 for documentation, because structured data needs one.
STRUCTURED_DATA_ID = "event@32473"


class ForwardingError(Exception):
    """The syslog server did not take a batch. The text says why."""


def forward_events(url: str | None = None) -> int:
    """Forward the events that were not forwarded yet, of every tenant and the platform; return their number.

    Without `AUDIT_SYSLOG_URL`, nothing happens. Raises `ForwardingError`; what was forwarded before stays so. Nothing is locked
    while the server is waited for, because readers of the feed lock the chain to number events. Beside another run, a batch
    may be sent twice; the second one then leaves the chain to the first.
    """
    url = settings.AUDIT_SYSLOG_URL if url is None else url
    if not url:
        return 0
    number_all_events()
    count = 0
    waiting = EventChain.objects.filter(last_number__gt=F("forwarded_number")).order_by("id")
    for chain_id in list(waiting.values_list("id", flat=True)):
        while count < EVENTS_PER_RUN and (sent := _forward_batch(chain_id, url)):
            count += sent
    return count


def _forward_batch(chain_id: int, url: str) -> int:
    chain: EventChain = EventChain.objects.select_related("tenant").get(pk=chain_id)
    after = max(chain.forwarded_number, chain.removed_number)
    events = list(Event.objects.filter(tenant=chain.tenant_id, number__gt=after).order_by("number")[:BATCH])
    if not events:
        return 0
    slug = chain.tenant.slug if chain.tenant else ""
    send_messages(url, [format_message(event, slug) for event in events])
    rows = EventChain.objects.filter(pk=chain_id, forwarded_number=chain.forwarded_number)
    return len(events) if rows.update(forwarded_number=events[-1].number or after) else 0


def format_message(event: Event, tenant_slug: str) -> bytes:
    """Return an event as a message of RFC 5424; its text is the event as JSON, as the feed has it."""
    with translation.override("en"):
        content = dict(EventSerializer(event).data)
    severity = SEVERITIES.get(find_outcome(event), 6)
    at = event.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    data = {"tenant": tenant_slug, "number": str(event.number or ""), "digest": event.digest}
    structured = "".join(f' {name}="{_escape(value)}"' for name, value in data.items())
    code = "".join(character for character in event.code if "!" <= character <= "~")[:32] or "-"
    head = f"<{FACILITY * 8 + severity}>1 {at} {_find_host_name()} portal - {code} [{STRUCTURED_DATA_ID}{structured}] "
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), default=str)
    # The byte order mark says that the text is UTF-8.
    return head.encode("ascii", "replace") + b"\xef\xbb\xbf" + text.encode()


def _find_host_name() -> str:
    name = "".join(character for character in socket.gethostname() if "!" <= character <= "~")
    return name[:255] or "-"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


def send_messages(url: str, messages: Sequence[bytes]) -> None:
    """Send messages over one connection, and wait until the server has read them. Raises `ForwardingError`."""
    parts = urlsplit(url)
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise ForwardingError(f"AUDIT_SYSLOG_URL is neither tcp://host:port nor tls://host:port: {url!r}.")
    address = (parts.hostname, parts.port or DEFAULT_PORTS[parts.scheme])
    try:
        with socket.create_connection(address, CONNECT_SECONDS) as plain:
            connection: Any = plain
            if parts.scheme == "tls":
                connection = ssl.create_default_context().wrap_socket(plain, server_hostname=parts.hostname)
            connection.sendall(b"".join(b"%d %s" % (len(message), message) for message in messages))
            _wait_until_read(connection)
    except OSError as error:
        raise ForwardingError(f"{parts.hostname}:{address[1]}: {error}") from error


def _wait_until_read(connection: socket.socket) -> None:
    """Wait until the server has closed its side, or at least its system has acknowledged everything. Raises OSError."""
    if isinstance(connection, ssl.SSLSocket):
        connection = connection.unwrap()
    else:
        connection.shutdown(socket.SHUT_WR)
    connection.settimeout(5.0)
    try:
        while connection.recv(4096):
            pass
    except TimeoutError:
        (unacknowledged,) = struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0" * 4))
        if unacknowledged:
            raise
