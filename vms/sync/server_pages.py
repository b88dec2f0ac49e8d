"""Pages of a server listing, written into the rows of VMs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from django.db import DataError, IntegrityError

from openstack_client import RecordPage, ServerReading
from openstack_client.decoding import clean_text

from ..queries import write_server_columns
from .server_columns import ServerColumns, map_server_columns

log = structlog.get_logger(__name__)

# Of the servers of a run that could not be read, this many are named in its message.
MOST_NAMED = 5


@dataclass(slots=True)
class SyncCounts:
    """The counts of a run of the status sync."""

    synced: int = 0
    updated: int = 0
    skipped: int = 0
    errors: int = 0
    missing: int = 0
    # Messages about the first few servers that could not be read; and whether one of them had no id.
    unreadable: list[str] = field(default_factory=list)
    has_nameless: bool = False
    unknown_words: dict[str, int] = field(default_factory=dict)

    def count_unreadable(self, message: str) -> None:
        """Count a server that could not be read, and keep the message if it is one of the first."""
        self.errors += 1
        if len(self.unreadable) < MOST_NAMED:
            self.unreadable.append(clean_text(message, 300))


def sync_page(
    page: RecordPage[ServerReading], unseen: dict[str, str], began: datetime, counts: SyncCounts
) -> None:
    """Take the servers of a page out of `unseen`, and write those whose reading is not the one of their row."""
    for record in page.unreadable:
        if record.id:
            # It has been listed, so it is not missing.
            if unseen.pop(record.id, None) is None:
                continue  # Not ours.
        else:
            counts.has_nameless = True
        counts.count_unreadable(str(record))
    suspects = []
    for reading in page:
        known = unseen.pop(reading.id, None)
        if known is None:
            continue  # Not ours.
        counts.synced += 1
        if known != reading.digest and (columns := _parse_columns(reading, counts)) is not None:
            suspects.append((reading, columns))
    if suspects:
        written, differing = _write_halving(suspects, began, counts)
        counts.updated += differing
        counts.skipped += len(suspects) - written


def _parse_columns(reading: ServerReading, counts: SyncCounts) -> ServerColumns | None:
    """Return a server's columns; None for one that cannot be read, which never stops the rest."""
    try:
        server = reading.server()
        columns = map_server_columns(server)
    except Exception as error:
        log.warning("server_unreadable", server=reading.id, exc_info=True)
        counts.count_unreadable(f"{reading.id}: {error}")
        return None
    if columns.status is None:
        counts.unknown_words[server.status[:50]] = counts.unknown_words.get(server.status[:50], 0) + 1
    return columns


def _write_halving(
    suspects: Sequence[tuple[ServerReading, ServerColumns]], began: datetime, counts: SyncCounts
) -> tuple[int, int]:
    """Write as `_write` does, but leave out and count what the database refuses.

    The records of `openstack_client` are fit for the database, so this is the net below it: a refused page is halved until
    the refused server is alone.
    """
    try:
        return _write(suspects, began)
    except (DataError, IntegrityError, ValueError) as error:
        if len(suspects) == 1:
            reading = suspects[0][0]
            log.warning("server_refused", server=reading.id, exc_info=True)
            counts.count_unreadable(f"{reading.id}: {type(error).__name__}: {error}")
            return 1, 0
    half = len(suspects) // 2
    first, second = (
        _write_halving(suspects[:half], began, counts),
        _write_halving(suspects[half:], began, counts),
    )
    return first[0] + second[0], first[1] + second[1]


def _write(suspects: Sequence[tuple[ServerReading, ServerColumns]], began: datetime) -> tuple[int, int]:
    """Write servers by one statement; return how many rows could be written, and how many of those differed.

    A status word that we do not know leaves the status, and leaves no reading, so that it is counted again next time.
    """
    return write_server_columns(
        {
            "openstack_id": [reading.id for reading, _columns in suspects],
            "status": [columns.status for _reading, columns in suspects],
            "ip": [columns.ip_address for _reading, columns in suspects],
            "mac": [columns.mac_address for _reading, columns in suspects],
            "addresses": [json.dumps(columns.addresses) for _reading, columns in suspects],
            "fault": [columns.fault for _reading, columns in suspects],
            "moving": [columns.moving for _reading, columns in suspects],
            "reading": [reading.digest if columns.status else "" for reading, columns in suspects],
        },
        began,
    )
