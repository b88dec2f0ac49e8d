"""Upgrade and revert: validated to the last host, locked, and recorded, in one short transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q
from django.http import Http404
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from portal.api.errors import BadFields, Refused
from portal.api.scoping import Role, Scope
from tasks import engine
from tasks.models import Job

from ..commands import DeployService
from ..models import Deployment, DeploymentItem, Host, MicroServiceInstance, MicroServiceVersion

Action = Literal["upgrade", "revert"]
BUSY_WORDS = {
    Deployment.Action.UPGRADE: MicroServiceInstance.Status.UPGRADING,
    Deployment.Action.REVERT: MicroServiceInstance.Status.REVERTING,
}


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
    mode: Literal["all", "valid"] = "all"
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done, or would be: the deployment, its instances batch by batch, who was left out, and the job."""

    deployment: Deployment
    batches: list[list[MicroServiceInstance]]
    left_out: list[dict[str, Any]]
    job: Job | None


def version_of(scope: Scope, service_id: UUID, version_id: UUID) -> MicroServiceVersion:
    """A version of a visible service. Raises Http404."""
    versions = MicroServiceVersion.objects.within(scope).select_related("service__information_system__tenant")
    found: MicroServiceVersion | None = versions.filter(pk=version_id, service=service_id).first()
    if found is None:
        raise Http404
    return found


def candidates(*, scope: Scope, service_id: UUID, version_id: UUID, action: Action) -> list[Candidate]:
    """Every version that was built, the newest first: on an upgrade the higher ones are enabled, on a revert the lower.

    On a revert, the one that ran before this one (the last that was deployed from) is the default. Raises Http404.
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

    Raises Http404 for a service or version that is not there; `Refused` 403 `role_too_low`; 400 `invalid`, by field, naming hosts
    without such an instance; 409 `not_built`, `wrong_side`, `locked` (with who holds them), `under_maintenance`, `busy`.

    Safe against others who deploy at the same moment: the instances are locked in the order of their keys, so of two that
    want one of them the second waits for the first's short transaction, and finds it locked.
    """
    current = version_of(scope, service_id, version_id)
    scope.require(Role.OPERATOR)
    with transaction.atomic():
        target = _target(current, wish.dest_version, action)
        instances = _instances(current, wish.hosts)
        chosen, left_out = _without_the_held(instances, wish.mode)
        batches = wish.strategy.batches_of(chosen)
        deployment = Deployment(
            service=current.service,
            action=action,
            from_version=current,
            to_version=target,
            operator=scope.user,
            batches=len(batches),
            strategy={
                "batch": wish.strategy.batch,
                "pause": wish.strategy.pause,
                "max_failures": wish.strategy.max_failures,
                "auto_revert": wish.strategy.auto_revert,
            },
        )
        if wish.dry_run:
            vms = [f"vm:{one.host.vm_id}" for one in chosen if one.host.vm_id is not None]
            for holder in engine.holders_of(vms).values():
                raise engine.Busy(holder)
            return Plan(deployment, batches, left_out, None)
        return Plan(deployment, batches, left_out, record(scope, deployment, batches))


def record(scope: Scope, deployment: Deployment, batches: Sequence[Sequence[MicroServiceInstance]]) -> Job:
    """Write a deployment with its items, lock its instances, and submit its job: a fixed number of statements."""
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
    MicroServiceInstance.objects.filter(pk__in=[one.pk for batch in batches for one in batch]).update(
        locked=True,
        locked_by=deployment,
        status=BUSY_WORDS[Deployment.Action(deployment.action)],
        updated_by=scope.user,
        updated_at=timezone.now(),
    )
    command = DeployService(str(deployment.pk))
    command.deployment = deployment
    tenant = deployment.service.information_system.tenant
    deployment.job = engine.submit(command, tenant=tenant, user=scope.user).job
    deployment.save(update_fields=["job"])
    return deployment.job


def retry(*, scope: Scope, deployment_id: UUID) -> Plan:
    """Do a deployment again for those that have not got its version. Raises as `deploy`, and 409 `nothing_failed`, `still_running`."""
    deployments = Deployment.objects.within(scope).select_related(
        "service__information_system__tenant", "from_version", "to_version"
    )
    old: Deployment | None = deployments.filter(pk=deployment_id).first()
    if old is None:
        raise Http404
    scope.require(Role.OPERATOR)
    if old.ended_at is None:
        raise Refused(409, "still_running", _("The deployment has not ended yet; cancel it, or wait."))
    with transaction.atomic():
        _target(old.from_version, old.to_version_id, old.action)
        # Those that still run what they ran when it was asked for: whoever has gone on since is left alone.
        instances = _locked(
            Q(history__in=old.items.exclude(result=DeploymentItem.Result.SUCCEEDED))
            & Q(version=F("history__from_version"))
        )
        if not instances:
            raise Refused(409, "nothing_failed", _("No instance is left to which it could be done again."))
        chosen, left_out = _without_the_held(instances, "all")
        batches = Strategy(**old.strategy).batches_of(chosen)
        again = Deployment(
            service=old.service,
            action=old.action,
            from_version=old.from_version,
            to_version=old.to_version,
            operator=scope.user,
            strategy=old.strategy,
            batches=len(batches),
            retry_of=old,
        )
        return Plan(again, batches, left_out, record(scope, again, batches))


def _target(current: MicroServiceVersion, dest: UUID, action: str) -> MicroServiceVersion:
    # Locked, so that nobody gives it another sum until the deployment is there to be seen.
    versions = MicroServiceVersion.objects.filter(service=current.service_id)
    target: MicroServiceVersion | None = versions.select_for_update(no_key=True).filter(pk=dest).first()
    if target is None:
        raise Http404
    if not target.is_built:
        if target.build_status == MicroServiceVersion.BuildStatus.SUCCESS:
            message = _("Version '%(version)s' has no artifact, or no checksum of it.")
            raise Refused(409, "not_built", message % {"version": target.label})
        message = _("Version '%(version)s' is not built: %(status)s.")
        shown = {"version": target.label, "status": target.get_build_status_display()}
        raise Refused(409, "not_built", message % shown)
    if not _is_on_the_right_side(target, current, action):
        message = (
            _("Version '%(version)s' is not higher than '%(current)s'.")
            if action == "upgrade"
            else _("Version '%(version)s' is not lower than '%(current)s'.")
        )
        raise Refused(409, "wrong_side", message % {"version": target.label, "current": current.label})
    return target


def _instances(
    current: MicroServiceVersion, hosts: Literal["all"] | Sequence[UUID]
) -> list[MicroServiceInstance]:
    """The instances that are meant, locked in the order of their keys. Raises `BadFields` naming hosts that have none."""
    wanted = Q(service=current.service_id, version=current)
    if hosts != "all":
        wanted &= Q(host__in=hosts)
    instances = _locked(wanted)
    if hosts == "all":
        if not instances:
            raise BadFields({"hosts": [_("No host runs version '%(v)s'.") % {"v": current.label}]})
        return instances
    missing = [str(host) for host in hosts if host not in {one.host_id for one in instances}]
    if missing:
        tenant = current.service.information_system.tenant_id
        known = Host.objects.filter(tenant=tenant, pk__in=missing).values_list("pk", "hostname")
        names = {str(pk): f"{name} ({pk})" for pk, name in known}
        missing = [names.get(pk, pk) for pk in missing]
        message = _("These hosts do not run version '%(version)s' of the service: %(hosts)s.")
        raise BadFields({"hosts": [message % {"version": current.label, "hosts": ", ".join(missing[:20])}]})
    return instances


def _locked(wanted: Q) -> list[MicroServiceInstance]:
    """Instances, locked in the order of their keys.

    Who holds one is not joined here: of a row that somebody else has changed while this waited for its lock, PostgreSQL gives
    the new row and what was joined to the old one.
    """
    instances = MicroServiceInstance.objects.filter(wanted).select_related("host")
    return list(instances.select_for_update(of=("self",)).order_by("pk"))


def _without_the_held(
    instances: Sequence[MicroServiceInstance], mode: Literal["all", "valid"]
) -> tuple[list[MicroServiceInstance], list[dict[str, Any]]]:
    """Those that can be deployed to, and why not the others; with the mode "all", the first of those is refused."""
    ids = {one.locked_by_id for one in instances if one.locked_by_id is not None}
    holders = Deployment.objects.select_related("operator").in_bulk(ids)
    left_out = [
        _why_not(one, holders.get(one.locked_by_id)) for one in instances if one.locked or one.is_maintain
    ]
    chosen = [one for one in instances if not (one.locked or one.is_maintain)]
    if left_out and (mode == "all" or not chosen):
        first = left_out[0]
        raise Refused(409, first["code"], first["detail"], instances=left_out)
    return chosen, left_out


def _why_not(instance: MicroServiceInstance, holder: Deployment | None) -> dict[str, Any]:
    said: dict[str, Any] = {"instance": str(instance.pk), "host": str(instance.host)}
    if not instance.locked:
        message = _("%(host)s is under maintenance.")
        return {**said, "code": "under_maintenance", "detail": str(message % {"host": instance.host})}
    if holder is None:
        message = _("%(host)s is locked.")
        return {**said, "code": "locked", "detail": str(message % {"host": instance.host})}
    who = holder.operator.get_username() if holder.operator else "-"
    message = _("%(host)s is held by the deployment %(id)s of %(who)s since %(since)s.")
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
