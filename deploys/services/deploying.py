"""Upgrade and revert: validated to the last host, locked, and recorded, in one short transaction."""

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
from tenants.scoping import Role, Scope, get_visible_row

from ..commands import DeployService
from ..models import Deployment, DeploymentItem, Host, MicroServiceInstance, MicroServiceVersion
from .holding import Mode, hold, look, looking_again, that_can_be_had

Action = Literal["upgrade", "revert"]
# In seconds. The whole has a day (`DeployService.deadline`), and some of that is for the work.
LONGEST_PAUSES = 20 * 3600
# What may be asked for, over REST and on the pages.
MOST_HOSTS = 1000
LONGEST_PAUSE = 12 * 3600


@dataclass(frozen=True, slots=True)
class Candidate:
    """A version that something could be brought to: `enabled` when it is on the right side, `default` when it ran before."""

    version: MicroServiceVersion
    enabled: bool
    default: bool


@dataclass(frozen=True, slots=True)
class Strategy:
    """How to go about it: how many at once (a number, or a share such as "25%"), and what failures mean.

    After more than `max_failures`, no further batch is begun. `pause` is in seconds.
    """

    batch: int | str = 1
    pause: int = 0
    max_failures: int = 0
    auto_revert: bool = True

    def batches_of(self, instances: Sequence[MicroServiceInstance]) -> list[list[MicroServiceInstance]]:
        """Instances batch by batch, in the order of their hosts' names, at least one in each."""
        share = self.batch if isinstance(self.batch, str) else ""
        size = len(instances) * int(share.removesuffix("%")) // 100 if share else int(self.batch)
        size = max(1, size)
        ordered = sorted(instances, key=lambda one: (one.host.hostname, one.pk))
        return [ordered[start : start + size] for start in range(0, len(ordered), size)]


@dataclass(frozen=True, slots=True)
class Wish:
    """What an operator wants. `hosts` is "all" or ids of hosts; with the mode "valid", those that cannot be are left out."""

    dest_version: UUID
    hosts: Literal["all"] | Sequence[UUID]
    strategy: Strategy = field(default_factory=Strategy)
    mode: Mode = "all"
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done, or would be: the deployment, its instances batch by batch, who was left out, and the job."""

    deployment: Deployment
    batches: list[list[MicroServiceInstance]]
    left_out: list[dict[str, Any]]
    job: Job | None


def version_of(scope: Scope, service_id: UUID, version_id: UUID) -> MicroServiceVersion:
    """A version of a visible service. Raises `NotFoundError`."""
    versions = MicroServiceVersion.objects.filter(service=service_id)
    with_tenant = versions.select_related("service__information_system__tenant")
    version: MicroServiceVersion = get_visible_row(with_tenant, scope, version_id)
    return version


def candidates(*, scope: Scope, service_id: UUID, version_id: UUID, action: Action) -> list[Candidate]:
    """Every version that was built, the newest first: on an upgrade the higher ones are enabled, on a revert the lower.

    On a revert, the one that ran before this one (the last that was deployed from) is the default. Raises `NotFoundError`.
    """
    current = version_of(scope, service_id, version_id)
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
            _is_on_the_right_side(version, current, action),
            action == "revert" and version.pk == last,
        )
        for version in built.order_by("-number")
    ]


def _is_on_the_right_side(version: MicroServiceVersion, current: MicroServiceVersion, action: str) -> bool:
    return version.number > current.number if action == "upgrade" else version.number < current.number


def deploy(*, scope: Scope, service_id: UUID, version_id: UUID, action: Action, wish: Wish) -> Plan:
    """Record an upgrade or a revert of instances that run a version, and the job that carries it out.

    Raises `NotFoundError` for a service or version that is not there; `DomainError` 403 `role_too_low`; 400 `invalid`, by field, naming hosts
    without such an instance; 409 `not_built`, `wrong_side`, `locked` (with who holds them), `under_maintenance`, `busy`.

    Safe against others who deploy at the same moment: see `holding.hold`. All that can be written without a lock is
    written before, so that locks are held for the last few statements.
    """
    current = version_of(scope, service_id, version_id)
    scope.require(Role.OPERATOR, Deployment)

    def once() -> Plan:
        target = _target(current, wish.dest_version, action)
        chosen, left_out = that_can_be_had(_instances(current, wish.hosts), wish.mode)
        deployment = Deployment(
            service=current.service,
            action=action,
            from_version=current,
            to_version=target,
            operator=scope.user,
            strategy=asdict(wish.strategy),
        )
        batches = wish.strategy.batches_of(chosen)
        _refuse_long_pauses(wish.strategy, batches)
        return Plan(deployment, batches, left_out, None if wish.dry_run else _record(deployment, batches))

    return looking_again(once)


def retry(*, scope: Scope, deployment_id: UUID) -> Plan:
    """Do a deployment again for those that have not got its version. Raises as `deploy`, and 409 `nothing_failed`, `still_running`."""
    deployments = Deployment.objects.select_related(
        "service__information_system__tenant", "from_version", "to_version"
    )
    old: Deployment = get_visible_row(deployments, scope, deployment_id, Role.OPERATOR)
    if old.ended_at is None:
        raise ConflictError("still_running", _("The deployment has not ended yet; cancel it, or wait."))

    def once() -> Plan:
        target = _target(old.from_version, old.to_version_id, old.action)
        # Those that still run what they ran when it was asked for: whoever has gone on since is left alone.
        instances = look(
            Q(history__in=old.items.exclude(result=DeploymentItem.Result.SUCCEEDED))
            & Q(version=F("history__from_version"))
        )
        if not instances:
            raise ConflictError("nothing_failed", _("No instance is left to which it could be done again."))
        # What failed is often under maintenance by then: that keeps nothing from the others.
        chosen, left_out = that_can_be_had(instances, "valid")
        again = Deployment(
            service=old.service,
            action=old.action,
            from_version=old.from_version,
            to_version=target,
            operator=scope.user,
            strategy=old.strategy,
            retry_of=old,
        )
        batches = Strategy(**old.strategy).batches_of(chosen)
        return Plan(again, batches, left_out, _record(again, batches))

    return looking_again(once)


def _record(deployment: Deployment, batches: Sequence[Sequence[MicroServiceInstance]]) -> Job:
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
    hold(deployment, instances)
    command = DeployService(str(deployment.pk))
    command.deployment, command.vms = (
        deployment,
        {vm for one in instances if (vm := one.host.vm_id) is not None},
    )
    tenant = deployment.service.information_system.tenant
    deployment.job = engine.submit(command, tenant=tenant, user=deployment.operator).job
    deployment.save(update_fields=["job"])
    return deployment.job


def _refuse_long_pauses(strategy: Strategy, batches: Sequence[object]) -> None:
    """Raise 400 when the pauses alone take so long that the whole would not end within its day."""
    if (len(batches) - 1) * strategy.pause > LONGEST_PAUSES:
        message = _(
            "%(count)s batches with %(pause)s s between them take longer than a deployment may (20 h)."
        )
        shown = {"count": len(batches), "pause": strategy.pause}
        raise InvalidFieldsError({"strategy": {"pause": [message % shown]}})


def _target(current: MicroServiceVersion, dest: UUID, action: str) -> MicroServiceVersion:
    versions = MicroServiceVersion.objects.filter(service=current.service_id)
    target: MicroServiceVersion | None = versions.filter(pk=dest).first()
    if target is None:
        raise NotFoundError
    if not target.is_built:
        if target.build_status == MicroServiceVersion.BuildStatus.SUCCESS:
            message = _("Version '%(version)s' has no artifact, or no checksum of it.")
            raise ConflictError("not_built", message % {"version": target.label})
        message = _("Version '%(version)s' is not built: %(status)s.")
        shown = {"version": target.label, "status": target.get_build_status_display()}
        raise ConflictError("not_built", message % shown)
    if not _is_on_the_right_side(target, current, action):
        message = (
            _("Version '%(version)s' is not higher than '%(current)s'.")
            if action == "upgrade"
            else _("Version '%(version)s' is not lower than '%(current)s'.")
        )
        raise ConflictError("wrong_side", message % {"version": target.label, "current": current.label})
    return target


def _instances(
    current: MicroServiceVersion, hosts: Literal["all"] | Sequence[UUID]
) -> list[MicroServiceInstance]:
    """The instances that are meant. Raises `InvalidFieldsError` naming hosts that have none."""
    wanted = Q(service=current.service_id, version=current)
    if hosts != "all":
        wanted &= Q(host__in=hosts)
    instances = look(wanted)
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
