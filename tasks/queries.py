"""Handwritten SQL, for what the ORM cannot express in one statement, or is too slow at.

Each function sends one message to the database, and says why it does not use the ORM. They take and return plain values and
import no model, so that models may use them. Times come from the database (`statement_timestamp()`), never from a worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Model
from django.db.models.expressions import DatabaseDefault

from api.messages import encode_message

# A job's id and its command's own queue, "" for none.
JobAddress = tuple[UUID, str]

# The progress of a tree of jobs in percent: each job's share is divided evenly among its steps, and the share of a step that
# waits for children evenly among those. One annotation computes it for a page of jobs; the ORM has no recursive queries.
TREE_PROGRESS = """
CASE WHEN tasks_job.children_open > 0 THEN (
    WITH RECURSIVE tree (id, part, has_ended) AS (
        SELECT tasks_job.id, 100.0::float8, false
        UNION ALL
        SELECT child.id,
            tree.part / (SELECT count(*) FROM tasks_step WHERE job_id = tree.id) / step.children,
            child.ended_at IS NOT NULL
        FROM tree
        JOIN tasks_step AS step ON step.job_id = tree.id AND step.status = 'waiting' AND step.children > 0
        JOIN tasks_job AS child ON child.parent_id = tree.id AND child.parent_step = step.name
        WHERE NOT tree.has_ended
    )
    SELECT floor(sum(CASE WHEN has_ended THEN part ELSE part / 100 * (
        SELECT sum(CASE WHEN status = 'waiting' AND children > 0 THEN 0 ELSE progress END)::float8 / count(*)
        FROM tasks_step WHERE job_id = tree.id
    ) END))::int FROM tree
) END
"""


def fetch_now() -> datetime:
    """Return the database's time. The ORM's `Now()` needs a row to annotate."""
    now: datetime = _fetch_row("SELECT statement_timestamp()")[0]
    return now


# --- Recording jobs ----------------------------------------------------------------------------------------


def insert(*batches: Sequence[Model]) -> None:
    """Insert instances, each batch of one model, in one message to the database.

    `bulk_create` sends a message for each model, and its compiler takes longer than the database takes for the rows.
    Database defaults are read back only into the instances of the last batch, and automatic keys into none: fetch the rows
    again where these are needed.
    """
    batches = tuple(batch for batch in batches if batch)
    if not batches:
        return
    values: list[Any] = []
    statements = [_insert_statement(batch, values) for batch in batches]
    defaults = _columns(type(batches[-1][0]))[2]
    names = ", ".join(connection.ops.quote_name(field.column) for field in defaults)
    with connection.cursor() as cursor:
        cursor.execute("; ".join(statements) + (f" RETURNING {names}" if names else ""), values)
        for instance, row in zip(batches[-1], cursor.fetchall() if names else [], strict=False):
            for field, value in zip(defaults, row, strict=True):
                setattr(instance, field.attname, value)
    for batch in batches:
        for instance in batch:
            instance._state.adding, instance._state.db = False, connection.alias  # noqa: SLF001


@cache
def _columns(model: type[Model]) -> tuple[str, list[Any], list[Any]]:
    """Return the head of an INSERT, the fields that it writes, and those of them with a database default."""
    meta, quote = model._meta, connection.ops.quote_name  # noqa: SLF001 - documented API.
    fields = [field for field in meta.concrete_fields if not field.db_returning or field.has_db_default()]
    head = f"INSERT INTO {quote(meta.db_table)} ({', '.join(quote(str(field.column)) for field in fields)}) VALUES "  # noqa: S608 - the model's own names.
    return head, fields, [field for field in fields if field.has_db_default()]


def _insert_statement(batch: Sequence[Model], values: list[Any]) -> str:
    """Return the INSERT of a batch; append its values to `values`."""
    head, fields, _defaults = _columns(type(batch[0]))
    rows = []
    for instance in batch:
        placeholders = []
        for field in fields:
            value = field.pre_save(instance, add=True)
            if isinstance(value, DatabaseDefault):
                placeholders.append("DEFAULT")
            else:
                placeholders.append("%s")
                values.append(field.get_db_prep_save(value, connection))
        rows.append(f"({', '.join(placeholders)})")
    return head + ", ".join(rows)


def insert_locks(job_ids: dict[str, UUID]) -> set[str]:
    """Insert the locks that are free, by key, each for its job; return their keys.

    The locks are inserted in the order of the keys, to prevent deadlocks between transactions.
    `bulk_create(ignore_conflicts=True)` does not report which locks are new.
    """
    rows = _fetch(
        "INSERT INTO tasks_entitylock (key, job_id, created_at)"
        " SELECT key, job, statement_timestamp()"
        " FROM unnest(%s::text[], %s::uuid[]) WITH ORDINALITY AS k(key, job, n)"
        " ORDER BY n ON CONFLICT (key) DO NOTHING RETURNING key",
        [list(job_ids), list(job_ids.values())],
    )
    return {key for (key,) in rows}


# --- Running and ending jobs -------------------------------------------------------------------------------


def claim_job(
    job_id: UUID, owner: str, *, lease: timedelta, early: timedelta, columns: str
) -> list[tuple[Any, ...]]:
    """Claim a job that is due and unowned; return a row with the given columns for each step, or no row.

    It sends two statements in one message to the database, which is one transaction. A single statement would not be safe:
    after a wait for the job's row it sees that row as it is now, but all other tables as they were before the wait. The
    steps could be from before the last record, and a finished step would run again. The second statement begins after
    the claim, when no other worker writes the steps any more.
    The ORM would send two messages, and has no UPDATE that skips locked rows.
    """
    return _fetch(
        f"""
        UPDATE tasks_job SET
            status = CASE WHEN status = 'undoing' THEN 'undoing' ELSE 'running' END,
            owner = %(owner)s, lease_until = statement_timestamp() + make_interval(secs => %(lease)s),
            attempt = attempt + 1, rung_at = NULL, held = false, parked = false,
            started_at = COALESCE(started_at, statement_timestamp())
        WHERE id = (
            SELECT id FROM tasks_job
            WHERE id = %(job)s AND status IN ('queued', 'running', 'waiting', 'undoing')
              AND (owner = '' OR lease_until < statement_timestamp())
              AND not_before <= statement_timestamp() + make_interval(secs => %(early)s)
            FOR UPDATE SKIP LOCKED
        );
        SELECT {columns} FROM tasks_job LEFT JOIN tasks_step ON tasks_step.job_id = tasks_job.id
        WHERE tasks_job.id = %(job)s AND tasks_job.owner = %(owner)s ORDER BY tasks_step.position
        """,  # noqa: S608 - the models' own column names.
        {"owner": owner, "job": job_id, "lease": lease.total_seconds(), "early": early.total_seconds()},
    )


def end_job(values: dict[str, Any]) -> bool:
    """Write the end of a job and of its last step, and delete its locks; return False if another worker owns the job.

    One statement, because every job ends here: the ORM needs a statement for each of the three tables, and a transaction.
    """
    row = _fetch_row(
        """
        WITH ended AS (
            UPDATE tasks_job SET
                status = %(status)s, owner = '', lease_until = NULL, ended_at = statement_timestamp(),
                data = %(data)s, outcome_code = %(code)s, outcome_message = %(message)s, traceback = %(trace)s
            WHERE id = %(job)s AND owner = %(owner)s AND status = ANY(%(before)s) RETURNING id
        ), last AS (
            UPDATE tasks_step SET
                status = %(step_status)s, progress = %(progress)s, message = %(step_message)s, tries = 0,
                started_at = %(started)s, ended_at = statement_timestamp()
            FROM ended WHERE job_id = ended.id AND position = %(position)s
        ), freed AS (
            DELETE FROM tasks_entitylock USING ended WHERE job_id = ended.id
        )
        SELECT count(*) FROM ended
        """,
        values,
    )
    return bool(row[0])


# --- Trees of jobs -----------------------------------------------------------------------------------------


def lock_job(job_id: UUID) -> None:
    """Lock a job's row without fetching it, as `select_for_update` would."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM tasks_job WHERE id = %s FOR UPDATE", [job_id])


def cancel_descendants(job_id: UUID, cancellable: list[str]) -> list[JobAddress]:
    """Request the cancellation of all descendants of a job; return those that had no such request yet.

    The ORM has no recursive queries. The rows are locked parents first: see `engine/children.py`.
    """
    return _fetch(
        """
        WITH RECURSIVE below AS (
            SELECT id FROM tasks_job WHERE parent_id = %(job)s
            UNION ALL SELECT child.id FROM tasks_job AS child JOIN below ON child.parent_id = below.id
        ), requested AS (
            SELECT id FROM tasks_job
            WHERE id IN (SELECT id FROM below) AND status = ANY(%(cancellable)s) AND cancel_requested_at IS NULL
            ORDER BY created_at, position FOR UPDATE
        )
        UPDATE tasks_job SET cancel_requested_at = statement_timestamp(), held = false,
            not_before = CASE WHEN owner = '' THEN statement_timestamp() ELSE not_before END
        FROM requested WHERE tasks_job.id = requested.id RETURNING tasks_job.id, queue
        """,
        {"job": job_id, "cancellable": cancellable},
    )


def count_ended_child(parent_id: UUID, step_name: str) -> tuple[int, str, str]:
    """Count an ended child at its parent and at the step that spawned it; return (open children, ending, queue) of the parent.

    The UPDATE must return the new count, which the ORM cannot do for an expression. The same statement computes the step's
    progress from it.
    """
    left, ending, queue = _fetch_row(
        """
        WITH parent AS (
            UPDATE tasks_job SET children_open = children_open - 1,
                not_before = CASE WHEN children_open = 1 THEN statement_timestamp() ELSE not_before END
            WHERE id = %(parent)s RETURNING id, children_open, ending, queue
        ), step AS (
            UPDATE tasks_step SET progress = 100 * (children - parent.children_open) / children FROM parent
            WHERE job_id = parent.id AND name = %(step)s AND parent.ending = '' AND children > 0
        )
        SELECT children_open, ending, queue FROM parent
        """,
        {"parent": parent_id, "step": step_name},
    )
    return left, ending, queue


def release_held_child(parent_id: UUID) -> list[JobAddress]:
    """Make the next held child of a parent due; return it, or an empty list. Children that are being undone go last first.

    One statement selects and changes it; the ORM needs two, and the row could change between them.
    """
    return _fetch(
        """
        UPDATE tasks_job SET held = false, not_before = statement_timestamp() WHERE id = (
            SELECT id FROM tasks_job WHERE parent_id = %s AND held
            ORDER BY CASE WHEN status = 'undoing' THEN -position ELSE position END LIMIT 1 FOR UPDATE
        ) RETURNING id, queue
        """,
        [parent_id],
    )


# --- Waking and dispatching jobs ---------------------------------------------------------------------------


def wake_jobs(job_ids: Sequence[UUID], in_flight: list[str]) -> list[JobAddress]:
    """Make the unowned ones of some jobs due, and return all of these jobs. The rows are locked parents first.

    The ORM has no UPDATE that locks in an order or returns rows.
    """
    return _fetch(
        """
        WITH woken AS (
            UPDATE tasks_job SET not_before = statement_timestamp() WHERE id IN (
                SELECT id FROM tasks_job WHERE id = ANY(%(ids)s) AND owner = '' AND status = ANY(%(in_flight)s)
                ORDER BY created_at, position FOR UPDATE)
        ) SELECT id, queue FROM tasks_job WHERE id = ANY(%(ids)s)
        """,
        {"ids": list(job_ids), "in_flight": in_flight},
    )


def mark_overdue_jobs(
    in_flight: list[str], *, overdue: timedelta, again: timedelta, limit: int
) -> list[JobAddress]:
    """Mark overdue jobs as dispatched, unless that was done recently; return them.

    One statement selects and marks them, so simultaneous sweeps get different jobs. The ORM has no UPDATE that returns rows.
    """
    return _fetch(
        """
        UPDATE tasks_job SET rung_at = statement_timestamp() WHERE id IN (
            SELECT id FROM tasks_job
            WHERE status = ANY(%(in_flight)s) AND not_before < statement_timestamp() - make_interval(secs => %(overdue)s)
              AND (owner = '' OR lease_until < statement_timestamp())
              AND (rung_at IS NULL OR rung_at NOT BETWEEN statement_timestamp() - make_interval(secs => %(again)s)
                                                         AND statement_timestamp())
            ORDER BY not_before LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        ) RETURNING id, queue
        """,
        {
            "in_flight": in_flight,
            "overdue": overdue.total_seconds(),
            "again": again.total_seconds(),
            "limit": limit,
        },
    )


def unpark_jobs(tenant_id: UUID | None, queue: str, limit: int) -> list[JobAddress]:
    """Make the oldest parked jobs of a tenant's queue due; return them. One statement, for the reasons of `mark_overdue_jobs`."""
    return _fetch(
        """
        UPDATE tasks_job SET parked = false, not_before = statement_timestamp() WHERE id IN (
            SELECT id FROM tasks_job WHERE tenant_id = %(tenant)s AND queue = %(queue)s AND parked
            ORDER BY created_at, position LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        ) RETURNING id, queue
        """,
        {"tenant": tenant_id, "queue": queue, "limit": limit},
    )


# --- Polling -----------------------------------------------------------------------------------------------


def mark_poll_dispatched(watcher: str, scope: str, *, after: float) -> bool:
    """Store that a poll of a scope is dispatched for `after` seconds from now; return False when one is for about then, or sooner.

    The ORM's upsert has no condition on its update.
    """
    rows = _fetch(
        "INSERT INTO tasks_pollscope AS p (watcher, scope, owner, failures, rung_for)"
        " VALUES (%(watcher)s, %(scope)s, '', 0, statement_timestamp() + make_interval(secs => %(after)s))"
        " ON CONFLICT (watcher, scope) DO UPDATE SET rung_for = EXCLUDED.rung_for"
        " WHERE p.rung_for IS NULL OR p.rung_for < statement_timestamp()"
        " OR p.rung_for > EXCLUDED.rung_for + interval '50 milliseconds' RETURNING 1",
        {"watcher": watcher, "scope": scope, "after": after},
    )
    return bool(rows)


def schedule_next_poll(task_ids: Iterable[int], *, first: float, longest: float) -> None:
    """Schedule the next poll of open watches: after twice `first` seconds, doubled each time, up to `longest`.

    A jitter of a quarter prevents simultaneous polls. The ORM has no interval with a number of seconds that the row gives.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE tasks_asynctask SET looks = looks + 1, next_look_at = statement_timestamp()"
            " + make_interval(secs => LEAST(%s, %s * 2 ^ LEAST(looks + 1, 10)) * (0.875 + random() / 4))"
            " WHERE id = ANY(%s) AND verdict = 'open'",
            [longest, first, list(task_ids)],
        )


def write_step_messages(task_ids: Iterable[int], message: str) -> None:
    """Write a message to the steps that wait for open watches. The ORM has no UPDATE with a join."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE tasks_step SET message = %s FROM tasks_asynctask AS t"
            " WHERE t.id = ANY(%s) AND t.verdict = 'open' AND tasks_step.job_id = t.job_id AND tasks_step.name = t.step_name",
            [encode_message(message), list(task_ids)],
        )


def fetch_job_versions(job_id: UUID) -> tuple[Any, ...] | None:
    """Return a job's status and the versions of the rows that its events show; None when the job was deleted.

    The version is PostgreSQL's `xmin`, which the ORM does not offer, so no column is needed for it.
    """
    rows = _fetch(
        """
        SELECT job.status, job.xmin::text,
            (SELECT string_agg(step.xmin::text, ',' ORDER BY position) FROM tasks_step AS step WHERE job_id = job.id),
            (SELECT max(id) FROM tasks_joblogline WHERE job_id = job.id)
        FROM tasks_job AS job WHERE id = %s
        """,
        [job_id],
    )
    return rows[0] if rows else None


def _fetch(statement: str, values: Any = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _fetch_row(statement: str, values: Any = None) -> tuple[Any, ...]:
    return _fetch(statement, values)[0]
