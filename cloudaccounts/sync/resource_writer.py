"""Write pages of listed resources to rows: a fixed number of statements a page, however many objects are on it."""

from __future__ import annotations

import json
import marshal
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any

from django.db import DataError, IntegrityError, connection, transaction

from openstack_client.decoding import clean_text

from ..models import CloudResource
from ..queries import TOUCH_UNCHANGED, WRITE_CHANGED, WRITE_LINKS
from ..registry import ListedResource, UnreadableResource
from .common_attributes import derive_common_attributes

# JSON that PostgreSQL's jsonb refuses: NUL, halves of surrogate pairs, NaN and infinities.
_REFUSED_JSON = re.compile(r"\\u0000|\\ud[89a-f]|NaN|Infinity", re.IGNORECASE)
# The longest JSON of one object's attributes that is stored.
MAX_ATTRIBUTES_LENGTH = 64_000
# Increase it when other columns are derived from the same object: every row is then written anew by its next sync.
DIGEST_VERSION = 2
# What one listing covers: the id of an account, a region, and the code of a type.
SyncTarget = tuple[int, str, str]


@dataclass(frozen=True, slots=True)
class _Row:
    """A resource row, serialized for the statements."""

    cloud_id: str
    columns: str  # A JSON object with the value of each column.
    edges: list[
        tuple[str, str, str]
    ]  # The kind of each link, and the type and the id in the cloud of its target.


@dataclass(slots=True)
class WriteCounts:
    """The numbers of rows that a page has created, updated, or left unchanged."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0


def write_resources(
    target: SyncTarget, page: Sequence[ListedResource], seen_at: datetime, *, log_id: int | None = None
) -> WriteCounts:
    """Write a page of resources to the rows of a target, with their changes and links.

    Two statements when nothing has changed, four otherwise. A row that was seen at `seen_at` or later is neither written nor
    counted: so an old listing never overwrites a newer reading, and an object that a listing shows twice counts once.
    """
    resources_by_id = {clean_text(found.cloud_id, 255): found for found in page}
    digests = {cloud_id: _compute_digest(found) for cloud_id, found in resources_by_id.items()}
    unchanged_ids = _touch_unchanged(target, digests, seen_at)
    # Only changed resources are serialized; most pages have none.
    changed_rows = [
        _build_row(target[2], cloud_id, found, digests[cloud_id])
        for cloud_id, found in resources_by_id.items()
        if cloud_id not in unchanged_ids
    ]
    if not changed_rows:
        return WriteCounts(unchanged=len(unchanged_ids))
    created, updated, unchanged, ids = _write_changed(target, changed_rows, seen_at, log_id)
    _replace_links(target, {row.cloud_id: row.edges for row in changed_rows if row.cloud_id in ids})
    return WriteCounts(created, updated, unchanged + len(unchanged_ids))


def write_page(
    target: SyncTarget, page: Sequence[ListedResource], seen_at: datetime, *, log_id: int | None = None
) -> tuple[WriteCounts, list[UnreadableResource]]:
    """Write a page like `write_resources`, but leave out objects that the database or Python refuses; return these.

    The records of `openstack_client` fit the database, so this is only a safety net. A refused page is halved until the bad
    object is alone: some twenty more statements for one bad object in a thousand, and none without one.
    Call it in a transaction; each attempt has a savepoint of its own.
    """
    try:
        with transaction.atomic():
            return write_resources(target, page, seen_at, log_id=log_id), []
    except (DataError, IntegrityError, ValueError, TypeError, OverflowError, RecursionError) as error:
        if len(page) == 1:
            reason = clean_text(f"{type(error).__name__}: {error}", 300)
            return WriteCounts(), [
                UnreadableResource(clean_text(page[0].cloud_id, 255), clean_text(page[0].name, 255), reason)
            ]
    half = len(page) // 2
    first, first_refused = write_page(target, page[:half], seen_at, log_id=log_id)
    second, second_refused = write_page(target, page[half:], seen_at, log_id=log_id)
    return (
        WriteCounts(
            first.created + second.created,
            first.updated + second.updated,
            first.unchanged + second.unchanged,
        ),
        [*first_refused, *second_refused],
    )


def touch_unreadable(target: SyncTarget, cloud_ids: Sequence[str], seen_at: datetime) -> None:
    """Mark the rows of objects as seen that were listed but could not be read."""
    CloudResource.objects.present().filter(
        account=target[0],
        region=target[1],
        type=target[2],
        cloud_id__in=cloud_ids,
        last_seen_at__lt=seen_at,
    ).update(last_seen_at=seen_at, missing_count=0)


def _compute_digest(found: ListedResource) -> str:
    """Return a digest of everything that is stored of an object.

    Equal objects have equal digests, in whatever order the cloud lists links and keys. The digest is computed from Python
    values, not from JSON, which would cost more than all the rest of a page without changes. Digests may differ for equal
    objects (another version of Python, another order in nested values): the database then compares the rows and finds no
    change.
    """
    links = sorted([(link.type, link.cloud_id) for link in found.links])
    try:
        attributes = [
            (name, sorted(value.items())) if isinstance(value, dict) else (name, value)
            for name, value in found.attributes.items()
        ]
        content = marshal.dumps(
            (DIGEST_VERSION, found.name, found.status, found.addresses, links, attributes), 2
        )
    except (ValueError, TypeError):
        content = repr(
            (
                DIGEST_VERSION,
                found.name,
                found.status,
                found.addresses,
                links,
                _dump_attributes(found.attributes),
            )
        ).encode()
    return blake2b(content, digest_size=16).hexdigest()


def _build_row(type_code: str, cloud_id: str, found: ListedResource, digest: str) -> _Row:
    # A set of cleaned ids: two ids may be equal once they are cleaned.
    edges = sorted(
        {
            (f"{type_code}-{link.type}", link.type, clean_text(link.cloud_id, 255))
            for link in found.links
            if link.cloud_id
        }
    )
    columns = {
        "cloud_id": cloud_id,
        "name": clean_text(found.name, 255),
        "status": clean_text(found.status, 50),
        "addresses": clean_text(" ".join(found.addresses), 4000),
        "attributes": found.attributes,
        "digest": digest,
        "links": [f"{kind} {target}" for kind, _type, target in edges],
        **derive_common_attributes(type_code, found),
    }
    try:
        text = json.dumps(columns)
    except RecursionError:
        text = ""
    if not text or len(text) > MAX_ATTRIBUTES_LENGTH or _REFUSED_JSON.search(text):
        # Rare, so a second serialization does no harm.
        text = json.dumps({**columns, "attributes": json.loads(_dump_attributes(found.attributes))})
    return _Row(cloud_id, text, edges)


def _dump_attributes(attributes: dict[str, Any]) -> str:
    """Return attributes as JSON that PostgreSQL accepts: invalid values are replaced, and too large ones left out."""
    try:
        text = json.dumps(attributes, sort_keys=True)
    except RecursionError:
        text = ""
    if text and len(text) <= MAX_ATTRIBUTES_LENGTH and not _REFUSED_JSON.search(text):
        return text
    clean = _replace_invalid_values(attributes, 8)
    text = json.dumps(clean, sort_keys=True)
    if len(text) <= MAX_ATTRIBUTES_LENGTH:
        return text
    small = {key: value for key, value in clean.items() if len(json.dumps(value)) <= 1000}
    left_out = sorted(clean.keys() - small.keys())[:20]
    return json.dumps({**dict(list(small.items())[:50]), "left_out": left_out}, sort_keys=True)


def _replace_invalid_values(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return clean_text(value, 4000)
    if isinstance(value, float):
        return value if value - value == 0 else None  # JSON has neither NaN nor infinities.
    if isinstance(value, dict):
        return (
            {clean_text(str(k), 255): _replace_invalid_values(v, depth - 1) for k, v in value.items()}
            if depth
            else "…"
        )
    if isinstance(value, list | tuple):
        return [_replace_invalid_values(member, depth - 1) for member in value] if depth else "…"
    return value


def _build_params(target: SyncTarget, seen_at: datetime) -> dict[str, Any]:
    return {"account": target[0], "region": target[1], "type": target[2], "seen_at": seen_at}


def _touch_unchanged(target: SyncTarget, digests: Mapping[str, str], seen_at: datetime) -> set[str]:
    """Mark unchanged rows as seen; return their ids in the cloud. `digests` are by these ids."""
    with connection.cursor() as cursor:
        cursor.execute(
            TOUCH_UNCHANGED,
            {**_build_params(target, seen_at), "digests": json.dumps(digests)},
        )
        return {cloud_id for (cloud_id,) in cursor.fetchall()}


def _write_changed(
    target: SyncTarget, rows: Sequence[_Row], seen_at: datetime, log_id: int | None
) -> tuple[int, int, int, set[str]]:
    """Insert or update rows; return the numbers of created, updated and unchanged rows, and their ids in the cloud."""
    with connection.cursor() as cursor:
        cursor.execute(
            WRITE_CHANGED,
            {
                **_build_params(target, seen_at),
                "log": log_id,
                "rows": f"[{','.join([row.columns for row in rows])}]",
            },
        )
        created, updated, unchanged, written = cursor.fetchone()
        return created, updated, unchanged, set(written)


def _replace_links(target: SyncTarget, edges: Mapping[str, Sequence[tuple[str, str, str]]]) -> None:
    """Replace the links of rows that have just been written."""
    with connection.cursor() as cursor:
        cursor.execute(
            WRITE_LINKS,
            {"account": target[0], "region": target[1], "type": target[2], "edges": json.dumps(edges)},
        )
