"""Selecting and locking the instances of a deployment: read without locks, locked in the last statements.

Fifty operators may want the same hosts at once. Whoever finds an instance held is refused by looking, without a wait;
those who meet in the same milliseconds wait for each other's last statements alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

from django.db import OperationalError, connection, transaction
from django.db.models import Model, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from api.database_errors import is_lock_timeout
from api.domain_errors import ConflictError
from tasks import engine
from vms.models import lock_key

from ..models import Deployment, Host, MicroService, MicroServiceInstance, MicroServiceVersion

Answer = TypeVar("Answer")
Mode = Literal["all", "valid"]
# No statement of a deployment waits longer for somebody else's lock; then it looks again, and mostly finds who has it.
LOCK_TIMEOUT = "50ms"
# Two who share many hosts with others may be in each other's way several times.
RETRY_SECONDS = 3.0
BUSY_STATUSES = {
    Deployment.Action.UPGRADE: MicroServiceInstance.Status.UPGRADING,
    Deployment.Action.REVERT: MicroServiceInstance.Status.REVERTING,
}


class _ChangedError(Exception):
    """A row differs from what was read."""


def retry_on_conflict(work: Callable[[], Answer]) -> Answer:
    """Run `work` in a transaction, and again when another transaction was faster. Raises 409 `busy` after several seconds."""
    until = time.monotonic() + RETRY_SECONDS
    while time.monotonic() < until:
        try:
            with transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute("SET LOCAL lock_timeout = %s", [LOCK_TIMEOUT])
                return work()
        except _ChangedError:
            continue
        except OperationalError as error:
            if not is_lock_timeout(error):
                raise
    raise ConflictError("busy", _("Many requests are changing this at once. Try again in a moment."))


def fetch_instances(wanted: Q) -> list[MicroServiceInstance]:
    """Return the matching instances as they are now, unlocked, in the order of their keys."""
    return list(MicroServiceInstance.objects.filter(wanted).select_related("host").order_by("pk"))


def select_deployable(
    instances: Sequence[MicroServiceInstance], mode: Mode
) -> tuple[list[MicroServiceInstance], list[dict[str, Any]]]:
    """Return the instances that can be deployed to, and the reasons for the others; the mode "all" raises for the first other.

    Raises `DomainError` 409 `locked`, `under_maintenance`, or `busy` for a VM that another job has.
    """
    ids = {one.locked_by_id for one in instances if one.locked_by_id is not None}
    holders = Deployment.objects.select_related("operator").in_bulk(ids) if ids else {}
    keys = {one.pk: lock_key(one.host.vm_id) for one in instances if one.host.vm_id is not None}
    busy = engine.lock_holders(keys.values()) if keys else {}
    chosen, left_out = [], []
    for one in instances:
        if one.locked or one.is_maintain:
            left_out.append(_explain_exclusion(one, holders.get(one.locked_by_id)))
        elif (job := busy.get(keys.get(one.pk, ""))) is not None:
            refused = engine.BusyError(job)
            refused.details |= _identify(one)
            if mode == "all":
                raise refused
            left_out.append(
                {**_identify(one), "code": refused.code, "detail": f"{one.host}: {refused.detail}"}
            )
        else:
            chosen.append(one)
    if left_out and (mode == "all" or not chosen):
        first = left_out[0]
        raise ConflictError(first["code"], first["detail"], instances=left_out)
    return chosen, left_out


def lock_instances(deployment: Deployment, instances: Sequence[MicroServiceInstance]) -> None:
    """Lock instances for a deployment, if they and the version are unchanged since they were read.

    Safe against others at the same moment: rows are locked in the order of their keys, so nobody waits in a circle, and
    are compared after that; of two that want one, the second finds it changed. Version, service and hosts are locked,
    too, so that nobody gives them another sum, folder or address until the deployment is there to be seen. Those locks
    are shared, which Django has no word for: many who deploy one version to hosts of their own wait for nobody.
    """
    if not _lock_version(deployment.to_version):
        raise _ChangedError
    _lock_hosts(instances)
    # Who holds one is not joined: of a row that somebody else has changed while this waited for its lock, PostgreSQL
    # gives the new row and what was joined to the old one.
    ids = [one.pk for one in instances]
    rows = MicroServiceInstance.objects.filter(pk__in=ids).select_for_update(no_key=True).order_by("pk")
    before = {(one.pk, one.version_id, one.status, one.locked, one.is_maintain) for one in instances}
    if set(rows.values_list("pk", "version_id", "status", "locked", "is_maintain")) != before:
        raise _ChangedError
    MicroServiceInstance.objects.filter(pk__in=ids).update(
        locked=True,
        locked_by=deployment,
        status=BUSY_STATUSES[Deployment.Action(deployment.action)],
        updated_by=deployment.operator,
        updated_at=timezone.now(),
    )


def _lock_version(version: MicroServiceVersion) -> bool:
    """Lock a version and its service against changes, and return whether the version is unchanged."""
    table, services = (_quote_table(model) for model in (MicroServiceVersion, MicroService))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT v.build_status, v.artifact_url, v.sha256 FROM {table} v"  # noqa: S608 - no input.
            f" JOIN {services} s ON s.id = v.service_id WHERE v.id = %s FOR SHARE",
            [version.pk],
        )
        now = cursor.fetchone()
    return bool(now == (version.build_status, version.artifact_url, version.sha256))


def _lock_hosts(instances: Sequence[MicroServiceInstance]) -> None:
    """Lock the instances' hosts against changes until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT FROM {_quote_table(Host)} WHERE id = ANY(%s) ORDER BY id FOR SHARE",
            [[one.host_id for one in instances]],
        )


def _quote_table(model: type[Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)  # noqa: SLF001 - Django's documented API.


def _identify(instance: MicroServiceInstance) -> dict[str, Any]:
    return {"instance": str(instance.pk), "host": str(instance.host)}


def _explain_exclusion(instance: MicroServiceInstance, holder: Deployment | None) -> dict[str, Any]:
    said = _identify(instance)
    if not instance.locked:
        message = _("%(host)s is under maintenance.")
        return {**said, "code": "under_maintenance", "detail": str(message % {"host": instance.host})}
    if holder is None:
        message = _("%(host)s is locked.")
        return {**said, "code": "locked", "detail": str(message % {"host": instance.host})}
    who = holder.operator.get_username() if holder.operator else "-"
    message = _("%(host)s is locked by deployment %(id)s, started by %(who)s at %(since)s.")
    since = holder.created_at.isoformat(timespec="seconds")
    shown = {"host": instance.host, "id": holder.pk, "who": who, "since": since}
    return {
        **said,
        "code": "locked",
        "detail": str(message % shown),
        "deployment": str(holder.pk),
        "operator": who,
        "since": since,
    }
