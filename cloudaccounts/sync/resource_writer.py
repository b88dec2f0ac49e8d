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
from ..registry import Found, Unreadable
from ..text_sanitizer import plain

# What PostgreSQL's jsonb refuses, as JSON spells it: NUL, halves of surrogate pairs, and numbers that are none.
_JUNK = re.compile(r"\\u0000|\\ud[89a-f]|NaN|Infinity", re.IGNORECASE)
# Of attributes as JSON. More than this of one object is no picture of it any more, and is not kept.
MOST_CHARACTERS = 64_000
# An account, a region, a type: what one listing covers.
Place = tuple[int, str, str]


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
    place: Place, page: Sequence[Found], seen_at: datetime, *, log_id: int | None = None
) -> Written:
    """Bring a page of findings into the rows of a place, with what changed about each, and its links.

    Two statements when nothing has changed, four otherwise. A row that was seen at `seen_at` or later is left alone and
    not counted: so an old listing never beats a newer reading, and an object that a listing shows twice counts once.
    """
    findings = {plain(found.cloud_id, 255): found for found in page}
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
    place: Place, page: Sequence[Found], seen_at: datetime, *, log_id: int | None = None
) -> tuple[Written, list[Unreadable]]:
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
            reason = plain(f"{type(error).__name__}: {error}", 300)
            return Written(), [Unreadable(plain(page[0].cloud_id, 255), plain(page[0].name, 255), reason)]
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


def touch_unreadable(place: Place, cloud_ids: Sequence[str], seen_at: datetime) -> None:
    """Note of rows whose objects were listed and could not be read that they are not gone."""
    CloudResource.objects.present().filter(
        account=place[0],
        region=place[1],
        type=place[2],
        cloud_id__in=cloud_ids,
        last_seen_at__lt=seen_at,
    ).update(last_seen_at=seen_at, missing_count=0)


def _digest(found: Found) -> str:
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


def _row(type_code: str, cloud_id: str, found: Found, digest: str) -> _Row:
    # Each once, as it is written: two ids may be the same once junk is taken out of them.
    edges = sorted(
        {
            (f"{type_code}-{link.type}", link.type, plain(link.cloud_id, 255))
            for link in found.links
            if link.cloud_id
        }
    )
    columns = {
        "cloud_id": cloud_id,
        "name": plain(found.name, 255),
        "status": plain(found.status, 50),
        "addresses": plain(" ".join(found.addresses), 4000),
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
        return plain(value, 4000)
    if isinstance(value, float):
        return value if value - value == 0 else None  # NaN and the infinities are no JSON.
    if isinstance(value, dict):
        return {plain(str(k), 255): _mended(v, depth - 1) for k, v in value.items()} if depth else "…"
    if isinstance(value, list | tuple):
        return [_mended(one, depth - 1) for one in value] if depth else "…"
    return value


def _scope(place: Place, seen_at: datetime) -> dict[str, Any]:
    return {"account": place[0], "region": place[1], "type": place[2], "seen_at": seen_at}


def _touch(place: Place, digests: Mapping[str, str], seen_at: datetime) -> set[str]:
    """Note of rows that are as they were that they have been seen; their ids in the cloud. Digests by such ids."""
    with connection.cursor() as cursor:
        # One JSON text, not arrays: of those PostgreSQL reads every element as an expression, which takes longer than
        # the update.
        cursor.execute(
            """
            WITH new AS MATERIALIZED (SELECT key AS cloud_id, value AS digest FROM json_each_text(%(digests)s))
            UPDATE cloudaccounts_cloudresource AS r SET last_seen_at = %(seen_at)s, missing_count = 0
            FROM new
            WHERE r.account_id = %(account)s AND r.region = %(region)s AND r.type = %(type)s
              AND r.cloud_id = ANY(ARRAY(SELECT cloud_id FROM new))
              AND r.cloud_id = new.cloud_id AND r.digest = new.digest
              AND r.expired_at IS NULL AND r.last_seen_at < %(seen_at)s
            RETURNING r.cloud_id
            """,
            {**_scope(place, seen_at), "digests": json.dumps(digests)},
        )
        return {cloud_id for (cloud_id,) in cursor.fetchall()}


def _write(
    place: Place, rows: Sequence[_Row], seen_at: datetime, log_id: int | None
) -> tuple[int, int, int, set[str]]:
    """Insert or update; how many are new, have changed, are the same though their digest is not, and which these are."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH new AS MATERIALIZED (
                SELECT * FROM json_to_recordset(%(rows)s) AS t(cloud_id text, name text, status text, addresses text,
                                                               attributes jsonb, digest text, links jsonb)
            ), old AS (
                SELECT r.id, new.*, diff.fields
                FROM cloudaccounts_cloudresource AS r JOIN new USING (cloud_id)
                CROSS JOIN LATERAL (
                    SELECT jsonb_object_agg(field, jsonb_build_array(was, is_now)) AS fields FROM (
                        SELECT 'attributes.' || COALESCE(o.key, n.key) AS field, o.value AS was, n.value AS is_now
                        FROM jsonb_each(r.attributes) AS o FULL JOIN jsonb_each(new.attributes) AS n USING (key)
                        UNION ALL VALUES
                            ('name', to_jsonb(r.name), to_jsonb(new.name)),
                            ('status', to_jsonb(r.status), to_jsonb(new.status)),
                            ('addresses', to_jsonb(r.addresses), to_jsonb(new.addresses)),
                            ('expired', to_jsonb(r.expired_at IS NOT NULL), to_jsonb(false)),
                            ('links', (
                                SELECT COALESCE(jsonb_agg(l.kind || ' ' || l.target_cloud_id ORDER BY
                                    l.kind COLLATE "C", l.target_cloud_id COLLATE "C"), '[]'::jsonb)
                                FROM cloudaccounts_resourcelink AS l WHERE l.source_id = r.id
                            ), new.links)
                    ) AS each
                    WHERE COALESCE(was, 'null'::jsonb) <> COALESCE(is_now, 'null'::jsonb)
                ) AS diff
                WHERE r.account_id = %(account)s AND r.region = %(region)s AND r.type = %(type)s
                  AND r.cloud_id = ANY(ARRAY(SELECT cloud_id FROM new)) AND r.last_seen_at < %(seen_at)s
            ), written AS (
                UPDATE cloudaccounts_cloudresource AS r SET
                    name = old.name, status = old.status, addresses = old.addresses, attributes = old.attributes,
                    digest = old.digest, last_seen_at = %(seen_at)s, missing_count = 0, expired_at = NULL,
                    changed_at = CASE WHEN old.fields IS NULL THEN r.changed_at ELSE statement_timestamp() END
                FROM old WHERE r.id = old.id
            ), told AS (
                INSERT INTO cloudaccounts_resourcechange (resource_id, log_id, at, fields)
                SELECT id, %(log)s, statement_timestamp(), fields FROM old WHERE fields IS NOT NULL
            ), made AS (
                INSERT INTO cloudaccounts_cloudresource (id, account_id, region, type, cloud_id, name, status,
                    addresses, attributes, digest, first_seen_at, last_seen_at, changed_at)
                SELECT gen_random_uuid(), %(account)s, %(region)s, %(type)s, cloud_id, name, status,
                       addresses, attributes, digest, %(seen_at)s, %(seen_at)s, statement_timestamp()
                FROM new
                ON CONFLICT ON CONSTRAINT resource_once DO NOTHING RETURNING cloud_id
            )
            SELECT (SELECT count(*) FROM made), count(fields), count(*) - count(fields),
                   COALESCE(array_agg(cloud_id), '{}') || (SELECT COALESCE(array_agg(cloud_id), '{}') FROM made)
            FROM old
            """,
            {
                **_scope(place, seen_at),
                "log": log_id,
                "rows": f"[{','.join([row.columns for row in rows])}]",
            },
        )
        created, updated, unchanged, written = cursor.fetchone()
        return created, updated, unchanged, set(written)


def _link(place: Place, edges: Mapping[str, Sequence[tuple[str, str, str]]]) -> None:
    """Give rows that have just been written the links that they have now, and take the others away."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH found AS MATERIALIZED (
                SELECT key AS cloud_id, value AS edges FROM json_each(%(edges)s)
            ), source AS (
                SELECT id, cloud_id FROM cloudaccounts_cloudresource
                WHERE account_id = %(account)s AND region = %(region)s AND type = %(type)s
                  AND cloud_id = ANY(ARRAY(SELECT cloud_id FROM found))
            ), wanted AS (
                SELECT source.id, edge->>0 AS kind, edge->>1 AS type, edge->>2 AS target
                FROM found JOIN source USING (cloud_id), json_array_elements(found.edges) AS edge
            ), dropped AS (
                DELETE FROM cloudaccounts_resourcelink AS l USING source
                WHERE l.source_id = source.id AND NOT EXISTS (
                    SELECT 1 FROM wanted AS w
                    WHERE w.id = l.source_id AND w.kind = l.kind AND w.target = l.target_cloud_id)
            )
            INSERT INTO cloudaccounts_resourcelink
                (source_id, kind, account_id, region, target_type, target_cloud_id)
            SELECT id, kind, %(account)s, %(region)s, type, target FROM wanted
            ON CONFLICT ON CONSTRAINT resource_link_once DO NOTHING
            """,
            {"account": place[0], "region": place[1], "type": place[2], "edges": json.dumps(edges)},
        )
