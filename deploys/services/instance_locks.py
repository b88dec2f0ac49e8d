"""Selecting and locking the instances of a deployment: read without locks, locked in the last statements.

Fifty operators may deploy to the same hosts at once. A request that reads a locked instance is refused without a wait.
Simultaneous requests wait only for each other's last statements.
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

Result = TypeVar("Result")
Mode = Literal["all", "valid"]
# The longest wait of a statement for a lock. After it, the instances are read again, and usually show who holds them.
LOCK_TIMEOUT = "50ms"
# Deployments that share many hosts may conflict several times.
RETRY_SECONDS = 3.0
BUSY_STATUSES = {
    Deployment.Action.UPGRADE: MicroServiceInstance.Status.UPGRADING,
    Deployment.Action.REVERT: MicroServiceInstance.Status.REVERTING,
}


class _RowChangedError(Exception):
    """A row differs from what was read."""


def retry_on_conflict(attempt: Callable[[], Result]) -> Result:
    """Run `attempt` in a transaction, and again when another transaction was faster. Raises 409 `busy` after several seconds."""
    until = time.monotonic() + RETRY_SECONDS
    while time.monotonic() < until:
        try:
            with transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute("SET LOCAL lock_timeout = %s", [LOCK_TIMEOUT])
                return attempt()
        except _RowChangedError:
            continue
        except OperationalError as error:
            if not is_lock_timeout(error):
                raise
    raise ConflictError("busy", _("Many requests are changing this at once. Try again in a moment."))


def fetch_instances(condition: Q) -> list[MicroServiceInstance]:
    """Return the matching instances as they are now, unlocked, in the order of their keys."""
    return list(MicroServiceInstance.objects.filter(condition).select_related("host").order_by("pk"))


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
    deployable, left_out = [], []
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
            deployable.append(one)
    if left_out and (mode == "all" or not deployable):
        first = left_out[0]
        raise ConflictError(first["code"], first["detail"], instances=left_out)
    return deployable, left_out


def lock_instances(deployment: Deployment, instances: Sequence[MicroServiceInstance]) -> None:
    """Lock instances for a deployment. Raises `_RowChangedError` if they or the version have changed since they were read.

    Safe against simultaneous deployments: the rows are locked in the order of their keys, so there is no deadlock, and are
    compared after that, so the second of two deployments finds them changed. Version, service and hosts are locked too, so
    that their checksum, folder and address cannot change before the deployment is committed. Those locks are FOR SHARE,
    which Django does not offer: deployments of one version to different hosts do not wait for each other.
    """
    if not _lock_version(deployment.to_version):
        raise _RowChangedError
    _lock_hosts(instances)
    # The deployment that holds an instance is not joined: after a wait for a lock, PostgreSQL returns the new row of the
    # locked table with the rows that were joined to the old one.
    ids = [one.pk for one in instances]
    rows = MicroServiceInstance.objects.filter(pk__in=ids).select_for_update(no_key=True).order_by("pk")
    before = {(one.pk, one.version_id, one.status, one.locked, one.is_maintain) for one in instances}
    if set(rows.values_list("pk", "version_id", "status", "locked", "is_maintain")) != before:
        raise _RowChangedError
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
        current = cursor.fetchone()
    return bool(current == (version.build_status, version.artifact_url, version.sha256))


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
    details = _identify(instance)
    if not instance.locked:
        message = _("%(host)s is under maintenance.")
        return {**details, "code": "under_maintenance", "detail": str(message % {"host": instance.host})}
    if holder is None:
        message = _("%(host)s is locked.")
        return {**details, "code": "locked", "detail": str(message % {"host": instance.host})}
    operator = holder.operator.get_username() if holder.operator else "-"
    message = _("%(host)s is locked by deployment %(id)s, started by %(who)s at %(since)s.")
    since = holder.created_at.isoformat(timespec="seconds")
    values = {"host": instance.host, "id": holder.pk, "who": operator, "since": since}
    return {
        **details,
        "code": "locked",
        "detail": str(message % values),
        "deployment": str(holder.pk),
        "operator": operator,
        "since": since,
    }
