"""Write the pages of a server listing to the rows of VMs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

import structlog
from django.db import DataError, IntegrityError

from cloudaccounts.sync.listed_statuses import SyncCounts
from openstack_client import RecordPage, ServerReading

from ..queries import write_server_columns
from .server_columns import ServerColumns, map_server_columns

log = structlog.get_logger(__name__)


def sync_page(
    page: RecordPage[ServerReading], unseen: dict[str, str], began: datetime, counts: SyncCounts
) -> None:
    """Remove the servers of a page from `unseen`, and write the servers whose reading differs from that of their row.

    `unseen` holds the digest of each row's reading by server id, for the rows that the listing has not shown yet.
    """
    for record in page.unreadable:
        if record.id:
            # It has been listed, so it is not missing.
            if unseen.pop(record.id, None) is None:
                continue  # Not ours.
        else:
            counts.has_unidentified = True
        counts.count_unreadable(str(record))
    changed = []
    for reading in page:
        known = unseen.pop(reading.id, None)
        if known is None:
            continue  # Not ours.
        counts.synced += 1
        if known != reading.digest and (columns := _parse_columns(reading, counts)) is not None:
            changed.append((reading, columns))
    if changed:
        written, differing = _write_bisecting(changed, began, counts)
        counts.updated += differing
        counts.skipped += len(changed) - written


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
        counts.count_unknown_word(server.status)
    return columns


def _write_bisecting(
    changed: Sequence[tuple[ServerReading, ServerColumns]], began: datetime, counts: SyncCounts
) -> tuple[int, int]:
    """Write as `_write` does, but leave out and count the servers that the database refuses.

    `openstack_client` already leaves out what the database cannot store, so this is a second check: a refused page is
    bisected until the refused server is alone.
    """
    try:
        return _write(changed, began)
    except (DataError, IntegrityError, ValueError) as error:
        if len(changed) == 1:
            reading = changed[0][0]
            log.warning("server_refused", server=reading.id, exc_info=True)
            counts.count_unreadable(f"{reading.id}: {type(error).__name__}: {error}")
            return 1, 0
    half = len(changed) // 2
    first, second = (
        _write_bisecting(changed[:half], began, counts),
        _write_bisecting(changed[half:], began, counts),
    )
    return first[0] + second[0], first[1] + second[1]


def _write(changed: Sequence[tuple[ServerReading, ServerColumns]], began: datetime) -> tuple[int, int]:
    """Write servers by one statement; return how many rows could be written, and how many of those differed.

    A status word that we do not know leaves the status, and leaves no reading, so that it is counted again next time.
    """
    return write_server_columns(
        {
            "openstack_id": [reading.id for reading, _columns in changed],
            "status": [columns.status for _reading, columns in changed],
            "ip": [columns.ip_address for _reading, columns in changed],
            "mac": [columns.mac_address for _reading, columns in changed],
            "addresses": [json.dumps(columns.addresses) for _reading, columns in changed],
            "fault": [columns.fault for _reading, columns in changed],
            "moving": [columns.moving for _reading, columns in changed],
            "host": [columns.host for _reading, columns in changed],
            "reading": [reading.digest if columns.status else "" for reading, columns in changed],
        },
        began,
    )
