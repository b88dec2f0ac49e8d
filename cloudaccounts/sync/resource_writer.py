"""Pages of findings to rows: a fixed number of statements a page, however many objects are on it."""

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

from ..models import CloudResource
from ..queries import TOUCH_UNCHANGED, WRITE_CHANGED, WRITE_LINKS
from ..registry import ListedResource, UnreadableResource
from ..text_sanitizer import sanitize_text

# What PostgreSQL's jsonb refuses, as JSON spells it: NUL, halves of surrogate pairs, and numbers that are none.
_JUNK = re.compile(r"\\u0000|\\ud[89a-f]|NaN|Infinity", re.IGNORECASE)
# Of attributes as JSON. More than this of one object is no picture of it any more, and is not kept.
MOST_CHARACTERS = 64_000
# An account, a region, a type: what one listing covers.
SyncTarget = tuple[int, str, str]


@dataclass(frozen=True, slots=True)
class _Row:
    """A finding as PostgreSQL takes it."""

    cloud_id: str
    columns: str  # As JSON: an object with a value for each.
    edges: list[tuple[str, str, str]]  # Kind, type and id in the cloud of the other end.


@dataclass(slots=True)
class Written:
    """What became of a page: how many rows are new, differ from before, or are as they were."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0


def write_resources(
    place: SyncTarget, page: Sequence[ListedResource], seen_at: datetime, *, log_id: int | None = None
) -> Written:
    """Bring a page of findings into the rows of a place, with what changed about each, and its links.

    Two statements when nothing has changed, four otherwise. A row that was seen at `seen_at` or later is left alone and
    not counted: so an old listing never beats a newer reading, and an object that a listing shows twice counts once.
    """
    findings = {sanitize_text(found.cloud_id, 255): found for found in page}
    digests = {cloud_id: _digest(found) for cloud_id, found in findings.items()}
    as_before = _touch(place, digests, seen_at)
    # Most of the time there are none, so only these are made into rows.
    others = [
        _row(place[2], cloud_id, found, digests[cloud_id])
        for cloud_id, found in findings.items()
        if cloud_id not in as_before
    ]
    if not others:
        return Written(unchanged=len(as_before))
    created, updated, unchanged, ids = _write(place, others, seen_at, log_id)
    _link(place, {row.cloud_id: row.edges for row in others if row.cloud_id in ids})
    return Written(created, updated, unchanged + len(as_before))


def write_page(
    place: SyncTarget, page: Sequence[ListedResource], seen_at: datetime, *, log_id: int | None = None
) -> tuple[Written, list[UnreadableResource]]:
    """As `write_resources`, but what the database or Python refuses of a page is left out of it, and told.

    What the wrapper has read is fit for the database, so this is the net below it. A page that is refused is halved until
    what is refused is alone: some twenty more statements for one object in a thousand, none for a page that is not.
    Call it in a transaction; each try has a savepoint of its own.
    """
    try:
        with transaction.atomic():
            return write_resources(place, page, seen_at, log_id=log_id), []
    except (DataError, IntegrityError, ValueError, TypeError, OverflowError, RecursionError) as error:
        if len(page) == 1:
            reason = sanitize_text(f"{type(error).__name__}: {error}", 300)
            return Written(), [
                UnreadableResource(
                    sanitize_text(page[0].cloud_id, 255), sanitize_text(page[0].name, 255), reason
                )
            ]
    half = len(page) // 2
    first, refused = write_page(place, page[:half], seen_at, log_id=log_id)
    second, others = write_page(place, page[half:], seen_at, log_id=log_id)
    return (
        Written(
            first.created + second.created,
            first.updated + second.updated,
            first.unchanged + second.unchanged,
        ),
        [*refused, *others],
    )


def touch_unreadable(place: SyncTarget, cloud_ids: Sequence[str], seen_at: datetime) -> None:
    """Note of rows whose objects were listed and could not be read that they are not gone."""
    CloudResource.objects.present().filter(
        account=place[0],
        region=place[1],
        type=place[2],
        cloud_id__in=cloud_ids,
        last_seen_at__lt=seen_at,
    ).update(last_seen_at=seen_at, missing_count=0)


def _digest(found: ListedResource) -> str:
    """Stands for all that is said of an object.

    What is the same has the same digest, in whatever order the cloud lists links and keys. It is taken from what the
    syncer found, not from JSON of it, which would cost more than all the rest of a page on which nothing is new. When
    two Pythons have different digests for the same, or order matters further down, rows are looked at once more, and
    found to be as they were.
    """
    links = sorted([(link.type, link.cloud_id) for link in found.links])
    try:
        attributes = [
            (name, sorted(value.items())) if isinstance(value, dict) else (name, value)
            for name, value in found.attributes.items()
        ]
        said = marshal.dumps((found.name, found.status, found.addresses, links, attributes), 2)
    except (ValueError, TypeError):
        said = repr((found.name, found.status, found.addresses, links, _json(found.attributes))).encode()
    return blake2b(said, digest_size=16).hexdigest()


def _row(type_code: str, cloud_id: str, found: ListedResource, digest: str) -> _Row:
    # Each once, as it is written: two ids may be the same once junk is taken out of them.
    edges = sorted(
        {
            (f"{type_code}-{link.type}", link.type, sanitize_text(link.cloud_id, 255))
            for link in found.links
            if link.cloud_id
        }
    )
    columns = {
        "cloud_id": cloud_id,
        "name": sanitize_text(found.name, 255),
        "status": sanitize_text(found.status, 50),
        "addresses": sanitize_text(" ".join(found.addresses), 4000),
        "attributes": found.attributes,
        "digest": digest,
        "links": [f"{kind} {target}" for kind, _type, target in edges],
    }
    try:
        text = json.dumps(columns)
    except RecursionError:
        text = ""
    if not text or len(text) > MOST_CHARACTERS or _JUNK.search(text):
        # Seldom, so it may cost more.
        text = json.dumps({**columns, "attributes": json.loads(_json(found.attributes))})
    return _Row(cloud_id, text, edges)


def _json(attributes: dict[str, Any]) -> str:
    """Attributes as JSON that PostgreSQL takes. Junk in them is mended, and what is too much is left out."""
    try:
        text = json.dumps(attributes, sort_keys=True)
    except RecursionError:
        text = ""
    if text and len(text) <= MOST_CHARACTERS and not _JUNK.search(text):
        return text
    mended = _mended(attributes, 8)
    text = json.dumps(mended, sort_keys=True)
    if len(text) <= MOST_CHARACTERS:
        return text
    small = {key: value for key, value in mended.items() if len(json.dumps(value)) <= 1000}
    left_out = sorted(mended.keys() - small.keys())[:20]
    return json.dumps({**dict(list(small.items())[:50]), "left_out": left_out}, sort_keys=True)


def _mended(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return sanitize_text(value, 4000)
    if isinstance(value, float):
        return value if value - value == 0 else None  # NaN and the infinities are no JSON.
    if isinstance(value, dict):
        return {sanitize_text(str(k), 255): _mended(v, depth - 1) for k, v in value.items()} if depth else "…"
    if isinstance(value, list | tuple):
        return [_mended(one, depth - 1) for one in value] if depth else "…"
    return value


def _scope(place: SyncTarget, seen_at: datetime) -> dict[str, Any]:
    return {"account": place[0], "region": place[1], "type": place[2], "seen_at": seen_at}


def _touch(place: SyncTarget, digests: Mapping[str, str], seen_at: datetime) -> set[str]:
    """Note of rows that are as they were that they have been seen; their ids in the cloud. Digests by such ids."""
    with connection.cursor() as cursor:
        # One JSON text, not arrays: of those PostgreSQL reads every element as an expression, which takes longer than
        # the update.
        cursor.execute(
            TOUCH_UNCHANGED,
            {**_scope(place, seen_at), "digests": json.dumps(digests)},
        )
        return {cloud_id for (cloud_id,) in cursor.fetchall()}


def _write(
    place: SyncTarget, rows: Sequence[_Row], seen_at: datetime, log_id: int | None
) -> tuple[int, int, int, set[str]]:
    """Insert or update; how many are new, have changed, are the same though their digest is not, and which these are."""
    with connection.cursor() as cursor:
        cursor.execute(
            WRITE_CHANGED,
            {
                **_scope(place, seen_at),
                "log": log_id,
                "rows": f"[{','.join([row.columns for row in rows])}]",
            },
        )
        created, updated, unchanged, written = cursor.fetchone()
        return created, updated, unchanged, set(written)


def _link(place: SyncTarget, edges: Mapping[str, Sequence[tuple[str, str, str]]]) -> None:
    """Give rows that have just been written the links that they have now, and take the others away."""
    with connection.cursor() as cursor:
        cursor.execute(
            WRITE_LINKS,
            {"account": place[0], "region": place[1], "type": place[2], "edges": json.dumps(edges)},
        )
