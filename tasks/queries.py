"""SQL that is written by hand: what the ORM cannot say in one statement, or says too slowly for every job.

Each function is one message to the database, and tells why the ORM does not do it. They take and return plain values and
know no model, so that models may use them. Times are the database's own (`statement_timestamp()`), never a worker's.
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

# A job's id and the queue that its command has, "" for none.
JobAddress = tuple[UUID, str]

# How far everything below a job is, as a share of the whole: each job's share is spread evenly over its steps, and the
# share of a step that waits for children evenly over those. An annotation of a page of jobs, whatever is below them; the
# ORM has no recursive queries.
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

    `bulk_create` sends a message for each model, and its compiler takes longer than the database does for the rows.
    What the database sets by default is read back into the instances of the last batch alone, and automatic keys
    into none: read the rows where they are needed.
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
    """Return how an INSERT begins, the fields that it gives values to, and those that the database may set by default."""
    meta, quote = model._meta, connection.ops.quote_name  # noqa: SLF001 - documented API.
    fields = [field for field in meta.concrete_fields if not field.db_returning or field.has_db_default()]
    head = f"INSERT INTO {quote(meta.db_table)} ({', '.join(quote(str(field.column)) for field in fields)}) VALUES "  # noqa: S608
    return head, fields, [field for field in fields if field.has_db_default()]


def _insert_statement(batch: Sequence[Model], values: list[Any]) -> str:
    """Return the INSERT of a batch; append its values to `values`."""
    head, fields, _defaults = _columns(type(batch[0]))
    rows = []
    for instance in batch:
        marks = []
        for field in fields:
            value = field.pre_save(instance, add=True)
            if isinstance(value, DatabaseDefault):
                marks.append("DEFAULT")
            else:
                marks.append("%s")
                values.append(field.get_db_prep_save(value, connection))
        rows.append(f"({', '.join(marks)})")
    return head + ", ".join(rows)


def insert_locks(job_ids: dict[str, UUID]) -> set[str]:
    """Insert the locks that are free, by key, each for its job; return their keys.

    The order of the keys is the order of the insertion, so that two transactions never wait for each other.
    `bulk_create(ignore_conflicts=True)` would not tell which locks are new.
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
    """Claim a job that is due and unowned; return a row for each step, of the columns asked for, or none.

    Two statements in one message to the database, and so one transaction. Why they are two and not one: a statement
    that had to wait for the row sees the row as it is then, but every other table as it was before the wait. Joined to
    the claim, the steps could be from before the last record, and a finished one would run again. The second
    statement begins when the row is ours, and nobody else writes its steps from then on.
    The ORM would send two messages, and has no UPDATE that passes over a locked row.
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
    """Write a job's last row and its last step's, and delete its locks; return whether the job was still the owner's.

    One statement, because every click ends here: the ORM needs one for each of the three tables, and a transaction.
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
    """Lock a job's row and read nothing of it: `select_for_update` would fetch it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM tasks_job WHERE id = %s FOR UPDATE", [job_id])


def cancel_descendants(job_id: UUID, cancellable: list[str]) -> list[JobAddress]:
    """Ask everything below a job to stop; return the jobs that had not been asked yet.

    The ORM has no recursive queries. The rows are locked parents first: see `engine/children.py`.
    """
    return _fetch(
        """
        WITH RECURSIVE below AS (
            SELECT id FROM tasks_job WHERE parent_id = %(job)s
            UNION ALL SELECT child.id FROM tasks_job AS child JOIN below ON child.parent_id = below.id
        ), asked AS (
            SELECT id FROM tasks_job
            WHERE id IN (SELECT id FROM below) AND status = ANY(%(cancellable)s) AND cancel_requested_at IS NULL
            ORDER BY created_at, position FOR UPDATE
        )
        UPDATE tasks_job SET cancel_requested_at = statement_timestamp(), held = false,
            not_before = CASE WHEN owner = '' THEN statement_timestamp() ELSE not_before END
        FROM asked WHERE tasks_job.id = asked.id RETURNING tasks_job.id, queue
        """,
        {"job": job_id, "cancellable": cancellable},
    )


def count_ended_child(parent_id: UUID, step_name: str) -> tuple[int, str, str]:
    """Count an ended child at its parent and at the step that spawned it; return (open children, ending, queue) of the parent.

    The count must come back with the update that makes it, which the ORM cannot do for an expression; and the step's
    progress is made of it in the same statement.
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
    """Make the next held child of a parent due, the last first when they are being undone; return it, if there is one.

    Choosing and changing in one statement; the ORM needs two, and the row could change between them.
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
    """Make those of some jobs due that nobody owns, locked parents first; return all of them.

    The ORM has no UPDATE that locks in an order, and returns no rows of one.
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
    """Mark jobs that are overdue, and were not marked lately, as dispatched; return them, the longest overdue first.

    One statement chooses and marks them, so two sweeps at once get different ones; the ORM returns no rows of an UPDATE.
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
    """Make the oldest parked jobs of a tenant's queue due; return them. As `mark_overdue_jobs`, one statement."""
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
    """Note that a scope is to be polled in `after` seconds; return False when that is noted for about then, or sooner.

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
    """Put the next poll of open watches off: by twice `first` seconds, then by twice as long each time, up to `longest`.

    A quarter of jitter keeps jobs from marching in step. The ORM has no interval of seconds that are computed in the row.
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
            [message, list(task_ids)],
        )


def fetch_job_versions(job_id: UUID) -> tuple[Any, ...] | None:
    """Return a job's status and the versions of the rows that its events are made of; None when it was deleted.

    The version is PostgreSQL's own (`xmin`), which the ORM does not know: no column has to be kept for it.
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
