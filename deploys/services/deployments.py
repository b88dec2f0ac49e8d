"""Upgrade and revert: every host validated, locked and recorded in one short transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal
from uuid import UUID

from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from api.domain_errors import ConflictError, InvalidFieldsError, NotFoundError
from tasks import engine
from tasks.models import Job
from tasks.operations import operation
from tenants.scoping import Role, Scope, get_visible_row

from ..commands import DeployServiceCommand
from ..models import Deployment, DeploymentItem, Host, MicroServiceInstance, MicroServiceVersion
from .instance_locks import Mode, fetch_instances, lock_instances, retry_on_conflict, select_deployable

Action = Literal["upgrade", "revert"]
# In seconds. A deployment has a day (`DeployServiceCommand.deadline`), and the rest of it is for the work.
MAX_TOTAL_PAUSE = 20 * 3600
# The limits of a request, over REST and on the pages. The pause is in seconds.
MAX_HOSTS = 1000
MAX_PAUSE = 12 * 3600


@dataclass(frozen=True, slots=True)
class Candidate:
    """A possible target version: `enabled` in the action's direction, `default` for the version that ran before."""

    version: MicroServiceVersion
    enabled: bool
    default: bool


@dataclass(frozen=True, slots=True)
class Strategy:
    """A rollout strategy: the batch size (a number, or a share such as "25%"), the pause and the failure limit.

    After more than `max_failures` failures, no further batch starts. `pause` is in seconds.
    """

    batch: int | str = 1
    pause: int = 0
    max_failures: int = 0
    auto_revert: bool = True

    def split_into_batches(
        self, instances: Sequence[MicroServiceInstance]
    ) -> list[list[MicroServiceInstance]]:
        """Return the instances in batches of at least one, in the order of their hosts' names."""
        share = self.batch if isinstance(self.batch, str) else ""
        size = len(instances) * int(share.removesuffix("%")) // 100 if share else int(self.batch)
        size = max(1, size)
        ordered = sorted(instances, key=lambda one: (one.host.hostname, one.pk))
        return [ordered[start : start + size] for start in range(0, len(ordered), size)]


@dataclass(frozen=True, slots=True)
class DeployParams:
    """The parameters of a deployment. `hosts` is "all" or host ids; the mode "valid" leaves out hosts that are not available."""

    dest_version: UUID
    hosts: Literal["all"] | Sequence[UUID]
    strategy: Strategy = field(default_factory=Strategy)
    mode: Mode = "all"
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan, or its recorded result: the deployment, its batches, the excluded hosts with reasons, and the job."""

    deployment: Deployment
    batches: list[list[MicroServiceInstance]]
    left_out: list[dict[str, Any]]
    job: Job | None


def find_version(scope: Scope, service_id: UUID, version_id: UUID) -> MicroServiceVersion:
    """Return a version of a visible service. Raises `NotFoundError`."""
    versions = MicroServiceVersion.objects.filter(service=service_id)
    with_tenant = versions.select_related("service__information_system__tenant")
    version: MicroServiceVersion = get_visible_row(with_tenant, scope, version_id)
    return version


def list_candidates(*, scope: Scope, service_id: UUID, version_id: UUID, action: Action) -> list[Candidate]:
    """Return every built version, newest first; an upgrade enables higher versions, a revert lower ones.

    On a revert, the version that the last deployment of the current one replaced is the default. Raises `NotFoundError`.
    """
    current = find_version(scope, service_id, version_id)
    built = MicroServiceVersion.objects.filter(service=service_id).built()
    last = (
        Deployment.objects.filter(to_version=current, from_version__number__lt=current.number)
        .order_by("-created_at")
        .values_list("from_version", flat=True)
        .first()
    )
    return [
        Candidate(
            version,
            _is_in_direction(version, current, action),
            action == "revert" and version.pk == last,
        )
        for version in built.order_by("-number")
    ]


def _is_in_direction(version: MicroServiceVersion, current: MicroServiceVersion, action: str) -> bool:
    return version.number > current.number if action == "upgrade" else version.number < current.number


@operation("deploys.deploy", DeployServiceCommand, dataclass_types=[DeployParams, Strategy])
def deploy(*, scope: Scope, service_id: UUID, version_id: UUID, action: Action, params: DeployParams) -> Plan:
    """Record an upgrade or a revert of instances of a version, and submit its job.

    Raises `NotFoundError` for an unknown service or version; `DomainError` 403 `role_too_low`; 400 `invalid` by field, naming
    the hosts without such an instance; 409 `not_built`, `wrong_side`, `locked` (with the deployments that hold the
    instances), `under_maintenance`, `busy`.

    Safe against simultaneous deployments: see `instance_locks.lock_instances`. Everything that needs no lock is written
    first, so that the locks are held only during the last few statements.
    """
    current = find_version(scope, service_id, version_id)
    scope.require(Role.OPERATOR, Deployment)

    def attempt() -> Plan:
        target = _find_target(current, params.dest_version, action)
        deployable, left_out = select_deployable(_select_instances(current, params.hosts), params.mode)
        deployment = Deployment(
            service=current.service,
            action=action,
            from_version=current,
            to_version=target,
            operator=scope.user,
            strategy=asdict(params.strategy),
        )
        batches = params.strategy.split_into_batches(deployable)
        _check_total_pause(params.strategy, batches)
        return Plan(
            deployment, batches, left_out, None if params.dry_run else _record_deployment(deployment, batches)
        )

    return retry_on_conflict(attempt)


@operation("deploys.retry", DeployServiceCommand)
def retry(*, scope: Scope, deployment_id: UUID) -> Plan:
    """Repeat a deployment for the instances that did not get its version. Raises as `deploy`, and 409 `nothing_failed`, `still_running`."""
    deployments = Deployment.objects.select_related(
        "service__information_system__tenant", "from_version", "to_version"
    )
    old: Deployment = get_visible_row(deployments, scope, deployment_id, Role.OPERATOR)
    if old.ended_at is None:
        raise ConflictError(
            "still_running", _("The deployment is in progress. Wait for it to end, or cancel it.")
        )

    def attempt() -> Plan:
        target = _find_target(old.from_version, old.to_version_id, old.action)
        # Only instances that still run the version from before the deployment; later changes are kept.
        instances = fetch_instances(
            Q(history__in=old.items.exclude(result=DeploymentItem.Result.SUCCEEDED))
            & Q(version=F("history__from_version"))
        )
        if not instances:
            raise ConflictError("nothing_failed", _("There is no instance to retry."))
        # Mode "valid": failed instances are often put under maintenance, which must not block the others.
        deployable, left_out = select_deployable(instances, "valid")
        new_deployment = Deployment(
            service=old.service,
            action=old.action,
            from_version=old.from_version,
            to_version=target,
            operator=scope.user,
            strategy=old.strategy,
            retry_of=old,
        )
        batches = Strategy(**old.strategy).split_into_batches(deployable)
        return Plan(new_deployment, batches, left_out, _record_deployment(new_deployment, batches))

    return retry_on_conflict(attempt)


def _record_deployment(deployment: Deployment, batches: Sequence[Sequence[MicroServiceInstance]]) -> Job:
    """Write a deployment with its items, lock its instances, and submit its job: a fixed number of statements."""
    deployment.batches = len(batches)
    deployment.save(force_insert=True)
    DeploymentItem.objects.bulk_create(
        DeploymentItem(
            deployment=deployment,
            instance=instance,
            host_name=str(instance.host)[:200],
            batch=number,
            from_version_id=instance.version_id,
            from_status=instance.status,
        )
        for number, batch in enumerate(batches)
        for instance in batch
    )
    instances = [one for batch in batches for one in batch]
    lock_instances(deployment, instances)
    command = DeployServiceCommand(str(deployment.pk))
    command.deployment, command.vms = (
        deployment,
        {vm for one in instances if (vm := one.host.vm_id) is not None},
    )
    tenant = deployment.service.information_system.tenant
    deployment.job = engine.submit(command, tenant=tenant, user=deployment.operator).job
    deployment.save(update_fields=["job"])
    return deployment.job


def _check_total_pause(strategy: Strategy, batches: Sequence[object]) -> None:
    """Raise 400 when the pauses alone exceed the time of a deployment."""
    if (len(batches) - 1) * strategy.pause > MAX_TOTAL_PAUSE:
        message = _(
            "%(count)s batches with %(pause)s s between them take longer than a deployment may (20 h)."
        )
        values = {"count": len(batches), "pause": strategy.pause}
        raise InvalidFieldsError({"strategy": {"pause": [message % values]}})


def _find_target(current: MicroServiceVersion, dest: UUID, action: str) -> MicroServiceVersion:
    versions = MicroServiceVersion.objects.filter(service=current.service_id)
    target: MicroServiceVersion | None = versions.filter(pk=dest).first()
    if target is None:
        raise NotFoundError
    if not target.is_built:
        if target.build_status == MicroServiceVersion.BuildStatus.SUCCESS:
            message = _("Version '%(version)s' has no artifact, or no checksum of it.")
            raise ConflictError("not_built", message % {"version": target.label})
        message = _("Version '%(version)s' is not built: %(status)s.")
        values = {"version": target.label, "status": target.get_build_status_display()}
        raise ConflictError("not_built", message % values)
    if not _is_in_direction(target, current, action):
        message = (
            _("Version '%(version)s' is not higher than '%(current)s'.")
            if action == "upgrade"
            else _("Version '%(version)s' is not lower than '%(current)s'.")
        )
        raise ConflictError("wrong_side", message % {"version": target.label, "current": current.label})
    return target


def _select_instances(
    current: MicroServiceVersion, hosts: Literal["all"] | Sequence[UUID]
) -> list[MicroServiceInstance]:
    """Return the requested instances. Raises `InvalidFieldsError` naming hosts without one."""
    condition = Q(service=current.service_id, version=current)
    if hosts != "all":
        condition &= Q(host__in=hosts)
    instances = fetch_instances(condition)
    if hosts == "all":
        if not instances:
            raise InvalidFieldsError({"hosts": [_("No host runs version '%(v)s'.") % {"v": current.label}]})
        return instances
    missing = [str(host) for host in hosts if host not in {one.host_id for one in instances}]
    if missing:
        tenant = current.service.information_system.tenant_id
        known = Host.objects.filter(tenant=tenant, pk__in=missing).values_list("pk", "hostname")
        names = {str(pk): f"{name} ({pk})" for pk, name in known}
        missing = [names.get(pk, pk) for pk in missing]
        message = _("These hosts do not run version '%(version)s' of the service: %(hosts)s.")
        raise InvalidFieldsError(
            {"hosts": [message % {"version": current.label, "hosts": ", ".join(missing[:20])}]}
        )
    return instances
