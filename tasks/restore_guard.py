"""The guard against a database that was restored from a backup: nothing is changed in a cloud until it was checked.

A restored database has forgotten what was created after the backup. The orphan sweeps would take a tenant's server for an
orphan and delete it, a pool would hand out a spare that a tenant has, a job would be carried out a second time, and the bin
would delete a VM that was taken out of it. So while the database counts as restored and not checked, sweeps, pools, the bin
and jobs do nothing, and no job is recorded. `manage.py check_restore` checks it, and ends that state.

The database counts as restored in three cases, of which the first two need nobody to remember anything:

1. It is not the database that the record was written in. `identity` holds the id of the PostgreSQL cluster, of the database
   and of the record's table, none of which a dump restores: `pg_restore` into a new database, into a new server or with
   `--clean` changes at least one. A copy of a production database beside production is found in the same way.
2. It went back in time in its place: a recovery to a point in time, a snapshot of its disk, a standby that had not received
   everything. `epoch` is increased every half minute and written to Redis after the commit. Redis is restored apart from the
   database, if at all; so a higher number in Redis proves that the database has lost commits. Without Redis's number nothing
   is proven, so a lost Redis stops nothing.
3. An operator has said so, before starting workers: `manage.py check_restore --begin`. That is needed where 2 can not tell,
   because Redis was emptied or went back as well.

A trigger of the database refuses new jobs, so that this also holds for a process that has not noticed it yet, and for code
of the release before. It asks for the first and the third case only; whoever notices the second writes it down as the third.
"""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID, uuid4

import structlog
from django.core.cache import cache
from django.db import connection, models, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

log = structlog.get_logger(__name__)

EVERY_SECONDS = 30
# A process that has found nothing wrong does not look again for this time, because every message of a job asks.
TRUST_SECONDS = 1.0

BY_OPERATOR = "An operator has declared the database to be restored."
OTHER_PLACE = "The database is a copy: its record was written in another database."
WENT_BACK = "The database has lost commits: Redis has number {witness}, the database only {epoch}."

_READ = """
    SELECT installation, epoch, suspended_at IS NOT NULL, reason, identity = tasks_database_identity()
    FROM tasks_databaseepoch
"""
_trusted_until = 0.0


class DatabaseEpoch(models.Model):
    """The record by which a restored database is recognized: one row, which the first `record_epoch` writes."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    # The name of Redis's number. Another portal on the same Redis has another one.
    installation = models.UUIDField(default=uuid4, editable=False)
    identity = models.CharField(max_length=100)
    epoch = models.BigIntegerField(default=0)
    recorded_at = models.DateTimeField(default=timezone.now)
    # Since when it counts as restored and not checked, and why.
    suspended_at = models.DateTimeField(null=True, blank=True)
    reason = models.TextField(blank=True, default="")

    class Meta:
        default_permissions = ()
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="database_epoch_is_one_row")]

    def __str__(self) -> str:
        return f"{self.installation} {self.epoch}"


def find_suspension() -> str:
    """Return why the database counts as restored and not checked; "" when it does not. One query, at most once a second."""
    global _trusted_until  # noqa: PLW0603 - one value for each process.
    if time.monotonic() < _trusted_until:
        return ""
    if reason := _read_suspension():
        return reason
    _trusted_until = time.monotonic() + TRUST_SECONDS
    return ""


def is_paused(work: str) -> bool:
    """Return whether some work must not be done, because the database counts as restored; log that with the reason."""
    reason = find_suspension()
    if reason:
        log.warning("paused_after_restore", work=work, reason=reason)
    return bool(reason)


def record_epoch() -> None:
    """Increase the database's number and write it to Redis after the commit, unless the database counts as restored."""
    with transaction.atomic():
        _create_record()
        record = DatabaseEpoch.objects.select_for_update().get()
        if _read_suspension():
            return
        DatabaseEpoch.objects.update(epoch=F("epoch") + 1, recorded_at=Now())
    _write_witness(record.installation, record.epoch + 1)


def suspend(reason: str = BY_OPERATOR) -> DatabaseEpoch:
    """Let the database count as restored and not checked from now on. An earlier time and reason are kept."""
    forget_trust()
    _create_record()
    DatabaseEpoch.objects.filter(suspended_at=None).update(suspended_at=Now(), reason=reason)
    return DatabaseEpoch.objects.get()


def resume() -> None:
    """Let the database count as checked: from now on this is its place, and its number is higher than any that was written."""
    with transaction.atomic():
        _create_record()
        record = DatabaseEpoch.objects.select_for_update().get()
        epoch = max(record.epoch, _read_witness(record.installation) or 0) + 1
        identity = _read_identity()
        # In another place it is another portal, perhaps beside the former one and on the same Redis.
        installation = record.installation if record.identity == identity else uuid4()
        DatabaseEpoch.objects.update(
            installation=installation,
            identity=identity,
            epoch=epoch,
            recorded_at=Now(),
            suspended_at=None,
            reason="",
        )
    _write_witness(installation, epoch)
    forget_trust()


def forget_trust() -> None:
    """Look at the database again at the next question."""
    global _trusted_until  # noqa: PLW0603 - one value for each process.
    _trusted_until = 0.0


def _read_suspension() -> str:
    with connection.cursor() as cursor:
        cursor.execute(_READ)
        found = cursor.fetchone()
    if found is None:
        return ""  # Nothing was recorded yet: a new installation.
    installation, epoch, is_suspended, reason, is_in_place = found
    if is_suspended:
        return str(reason)
    if not is_in_place:
        suspend(OTHER_PLACE)
        return OTHER_PLACE
    witness = _read_witness(installation)
    if witness is not None and witness > epoch:
        reason = WENT_BACK.format(witness=witness, epoch=epoch)
        suspend(reason)
        return str(reason)
    return ""


def _create_record() -> None:
    """Write the record of a new installation, unless there is one."""
    if not DatabaseEpoch.objects.exists():
        DatabaseEpoch.objects.bulk_create([DatabaseEpoch(identity=_read_identity())], ignore_conflicts=True)


def _read_identity() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tasks_database_identity()")
        (identity,) = cursor.fetchone()
    return str(identity)


def _read_witness(installation: UUID) -> int | None:
    """Return Redis's number; None when Redis has none or does not answer, which proves nothing."""
    try:
        found: Any = cache.get(_witness_key(installation))
    except Exception:  # noqa: BLE001 - a dead Redis is found by its own checks.
        return None
    return found if isinstance(found, int) else None


def _write_witness(installation: UUID, epoch: int) -> None:
    try:
        cache.set(_witness_key(installation), epoch, timeout=None)
    except Exception as error:  # noqa: BLE001 - as above; the next record writes a higher number.
        log.warning("epoch_not_in_redis", error=str(error))


def _witness_key(installation: UUID) -> str:
    return f"database-epoch:{installation}"
