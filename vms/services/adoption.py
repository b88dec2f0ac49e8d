"""Adopt servers and volumes of a cloud account: make rows of them, without a request to the cloud."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID, uuid4

import structlog
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.translation import gettext_lazy

from api.database_errors import violated_constraint
from api.domain_errors import ConflictError, InvalidFieldsError
from api.messages import message as _
from api.uuids import is_uuid
from cloudaccounts.models import CloudAccount, CloudResource, ReleasedObject
from cloudaccounts.services.region_syncs import request_regions
from tasks.dispatch import dispatch_task
from tenants.models import InformationSystem, Tenant
from tenants.quotas import RESOURCE_LABELS, measure_remaining, require_quota
from tenants.scoping import Scope
from volumepool.models import Volume, VolumeSyncState

from ..models import Orphan, SyncState, VirtualMachine, VMOperationLog, VMStatus
from .adoption_checks import CandidateChecker, candidate_size_columns, status_of_server, sum_needs
from .adoption_inventory import Candidate, Inventory, read_metadata
from .unmanaged import SERVER, VOLUME, AdoptionRule, get_adoptable_account, select_by_rule

log = structlog.get_logger(__name__)

# The most servers and volumes of one request.
MAX_ADOPTED = 500
_TAKEN_CONSTRAINTS = ("vm_server_once", "volumepool_volume_volume_id")


@dataclass(frozen=True, slots=True)
class AdoptionRequest:
    """What is to be adopted: servers and volumes by the ids of the inventory or of the cloud, or the servers of a rule."""

    information_system: UUID
    servers: Sequence[str] = ()
    volumes: Sequence[str] = ()
    rule: AdoptionRule | None = None


@dataclass(frozen=True, slots=True)
class AdoptionResult:
    """The outcome for each object. `is_done` is false when nothing was written, because of a dry run or a refusal."""

    tenant: Tenant
    candidates: list[Candidate] = field(default_factory=list)
    is_done: bool = False

    @property
    def accepted(self) -> list[Candidate]:
        """Return what was adopted, or would have been."""
        return [candidate for candidate in self.candidates if candidate.refusal is None]


def adopt_resources(
    *,
    scope: Scope,
    account_id: int,
    request: AdoptionRequest,
    mode: Literal["all", "valid"] = "all",
    dry_run: bool = False,
) -> AdoptionResult:
    """Make VMs and volumes of an information system out of servers and volumes that the portal does not manage.

    The volumes of a server go with it. With `all`, nothing is done unless every object can be adopted; with `valid`, those
    that can be are. What the inventory does not hold (addresses, MAC, devices) is filled by a sync, which is requested here.

    Raises `NotFoundError`, 403 `role_too_low`, `staff_only`, `permission_missing`; 400 `invalid`, by field; with `all` 409
    `quota_exceeded`, with the figures; 409 `account_disabled`, `adopted_meanwhile`.

    Safe beside other adoptions: those of one account wait for each other at its row, and then find the rows of the one
    before. Of two accounts that list the same project, the second is refused by the unique server and volume ids.
    The number of statements does not depend on the number of objects.
    """
    with transaction.atomic():
        account = get_adoptable_account(scope, account_id)
        if not account.active:
            message = _("The cloud account '%(name)s' is disabled. Enable it first.")
            raise ConflictError("account_disabled", message % {"name": account.name})
        # Without the key: rows that only refer to the account do not wait for this lock.
        CloudAccount.objects.select_for_update(no_key=True).get(pk=account.pk)
        system = _find_system(scope, account, request.information_system)
        candidates = _find_candidates(account, request)
        checker = CandidateChecker(scope, system.tenant, Inventory(account, candidates))
        for candidate in candidates:
            checker.check(candidate)
        is_stopped = mode == "all" and any(candidate.refusal for candidate in candidates)
        if mode == "all" and not dry_run and not is_stopped:
            require_quota(system.tenant, sum_needs(candidates))
        else:
            _refuse_beyond_quota(system.tenant, candidates)
        for candidate in candidates:
            if candidate.server is not None:
                candidate.refusal = candidate.server.refusal
        adoption = AdoptionResult(system.tenant, candidates, is_done=not dry_run and not is_stopped)
        if adoption.is_done and adoption.accepted:
            _write_rows(scope, account, system, adoption.accepted, checker.inventory)
        return adoption


def _find_system(scope: Scope, account: CloudAccount, system_id: UUID) -> InformationSystem:
    """Return the system that adopts. In an account of a tenant's own, it is one of that tenant's."""
    systems = InformationSystem.objects.within(scope).select_related("tenant").filter(tenant__active=True)
    system: InformationSystem | None = systems.filter(pk=system_id).first()
    if system is None:
        message = _("Information system not found: %(id)s.") % {"id": system_id}
        raise InvalidFieldsError({"information_system": [message]})
    if account.tenant_id not in {None, system.tenant_id}:
        message = _("The cloud account '%(account)s' belongs to another tenant than '%(system)s'.")
        values = {"account": account.name, "system": system.name}
        raise InvalidFieldsError({"information_system": [message % values]})
    return system


def _find_candidates(account: CloudAccount, request: AdoptionRequest) -> list[Candidate]:
    if request.rule is not None:
        servers = list(select_by_rule(account, request.rule).order_by("name", "pk")[: MAX_ADOPTED + 1])
        if len(servers) > MAX_ADOPTED:
            message = _("The rule selects more than %(most)s servers. Make it narrower.")
            raise InvalidFieldsError({"rule": [message % {"most": MAX_ADOPTED}]})
        return [Candidate(SERVER, str(server.pk), server) for server in servers]
    named = [(SERVER, name) for name in dict.fromkeys(request.servers)]
    named += [(VOLUME, name) for name in dict.fromkeys(request.volumes)]
    names = [name for _type, name in named]
    keys = [UUID(name) for name in names if is_uuid(name)]
    found: dict[tuple[str, str], CloudResource] = {}
    resources = CloudResource.objects.filter(Q(cloud_id__in=names) | Q(pk__in=keys), account=account)
    # One that is present comes last, so that it wins over an expired one of another region.
    for resource in resources.filter(type__in=[SERVER, VOLUME]).order_by("expired_at", "pk"):
        for name in (resource.cloud_id, str(resource.pk)):
            found[resource.type, name] = resource
    return [Candidate(kind, name, found.get((kind, name.lower()))) for kind, name in named]


def _refuse_beyond_quota(tenant: Tenant, candidates: Iterable[Candidate]) -> None:
    """Refuse the candidates that the tenant's quotas have no room for, in their order."""
    remaining = measure_remaining(tenant)
    for candidate in candidates:
        if candidate.refusal is not None:
            continue
        exceeded = []
        for name, left in remaining.items():
            needed = getattr(candidate.needs, name)
            if left is not None and needed > max(0, left):
                values = {"needed": needed, "left": max(0, left), "what": RESOURCE_LABELS[name]}
                exceeded.append(_("%(needed)s %(what)s needed, %(left)s left") % values)
        if exceeded:
            message = gettext_lazy("Quota of %(tenant)s exceeded: %(figures)s.")
            values = {"tenant": tenant.name, "figures": "; ".join(exceeded)}
            candidate.refusal = ConflictError("quota_exceeded", message % values)
            continue
        for name, left in remaining.items():
            if left is not None:
                remaining[name] = left - getattr(candidate.needs, name)


def _write_rows(
    scope: Scope,
    account: CloudAccount,
    system: InformationSystem,
    candidates: Sequence[Candidate],
    inventory: Inventory,
) -> None:
    """Write the rows of the candidates, their operation log and a request for the syncs that complete them."""
    for candidate in candidates:
        if candidate.type == SERVER:
            candidate.vm = _build_vm(candidate, system, account, inventory)
        for resource, is_boot in candidate.new_volumes:
            volume = _build_volume(resource, system, account, inventory)
            volume.vm, volume.is_boot = candidate.vm, is_boot
            if candidate.vm is not None:
                volume.server_id = str(candidate.vm.openstack_id)
            candidate.volumes.append(volume)
    servers = [candidate for candidate in candidates if candidate.type == SERVER]
    vms = [candidate.vm for candidate in servers if candidate.vm is not None]
    volumes = [volume for candidate in candidates for volume in candidate.volumes]
    linked = _link_volumes(servers)
    cloud_ids = [vm.openstack_id for vm in vms] + [volume.volume_id for volume in volumes]
    try:
        with transaction.atomic():
            VirtualMachine.objects.bulk_create(vms)
            Volume.objects.bulk_create(volumes)
    except IntegrityError as error:
        if not str(violated_constraint(error)).startswith(_TAKEN_CONSTRAINTS):
            raise
        message = _("Some of them have just been adopted by somebody else. Try again.")
        raise ConflictError("adopted_meanwhile", message) from None
    if linked:
        Volume.objects.bulk_update(linked, ["vm", "is_boot"])
    VMOperationLog.objects.bulk_create(
        VMOperationLog.of(
            vm,
            VMOperationLog.Operation.ADOPT,
            user=scope.user,
            detail=_("Server %(server)s of cloud account %(account)s, adopted with %(count)s volumes.")
            % {
                "server": vm.openstack_id,
                "account": account.name,
                "count": len(candidate.volumes) + len(candidate.linked_volumes),
            },
        )
        for candidate, vm in zip(servers, vms, strict=True)
    )
    ReleasedObject.objects.filter(cloud_id__in=cloud_ids).delete()
    Orphan.objects.filter(cloud_id__in=cloud_ids).delete()
    _request_syncs(account, vms, volumes)
    log.info(
        "resources_adopted",
        account=account.pk,
        tenant=str(system.tenant_id),
        user=scope.user.get_username(),
        vms=len(vms),
        volumes=[volume.volume_id for volume in volumes],
    )


def _build_vm(
    candidate: Candidate, system: InformationSystem, account: CloudAccount, inventory: Inventory
) -> VirtualMachine:
    """Return the row of a server. Its status is the inventory's, as of the time when that was last read."""
    server = candidate.found
    status = status_of_server(server)
    image = inventory.images.get(server.pk)
    of_image: dict[str, Any] = image.attributes if image is not None else {}
    stopped, running = VirtualMachine.DesiredState.STOPPED, VirtualMachine.DesiredState.RUNNING
    return VirtualMachine(
        id=_choose_row_id(server, system, inventory),
        information_system=system,
        account=account,
        region=server.region,
        # `sync_state` stays empty until the next sync begins: the last one did not compare this row with the cloud.
        name=(server.name or server.cloud_id)[:200],
        **candidate_size_columns(candidate, server),
        availability_zone=str(server.attributes.get("zone") or "")[:100],
        image_name=image.name[:255] if image is not None else "",
        os_type=str(of_image.get("os_distro") or of_image.get("os_type") or "")[:50],
        os_version=str(of_image.get("os_version") or "")[:50],
        metadata=read_metadata(server),
        openstack_id=server.cloud_id,
        status=status,
        desired_state=stopped if status == VMStatus.STOPPED else running,
        fault=str(server.attributes.get("fault") or "")[:2000],
        observed_at=server.last_seen_at,
    )


def _build_volume(
    resource: CloudResource, system: InformationSystem, account: CloudAccount, inventory: Inventory
) -> Volume:
    attributes = resource.attributes
    return Volume(
        id=_choose_row_id(resource, system, inventory),
        information_system=system,
        account=account,
        region=resource.region,
        volume_id=resource.cloud_id,
        name=(resource.name or resource.cloud_id)[:200],
        type=str(attributes.get("volume_type") or "")[:100],
        availability_zone=str(attributes.get("zone") or "")[:100],
        size_gb=attributes["size_gb"],
        status=resource.status,
        device=str(attributes.get("device") or "")[:50],
    )


def _choose_row_id(resource: CloudResource, system: InformationSystem, inventory: Inventory) -> UUID:
    """Return the id of a new row: the former one if the tenant has released the object, so that its history goes on."""
    released = inventory.released.get(resource.cloud_id)
    return released.row_id if released is not None and released.tenant_id == system.tenant_id else uuid4()


def _link_volumes(servers: Iterable[Candidate]) -> list[Volume]:
    """Put the VMs into the volumes that the tenant has already; return these."""
    linked = []
    for candidate in servers:
        for volume, is_boot in candidate.linked_volumes:
            volume.vm, volume.is_boot = candidate.vm, is_boot
            linked.append(volume)
    return linked


def _request_syncs(account: CloudAccount, vms: Sequence[VirtualMachine], volumes: Sequence[Volume]) -> None:
    """Request syncs of all servers and volumes of the regions: a listing of changes would not show unchanged ones."""
    regions = sorted({(account.pk, vm.region) for vm in vms})
    if regions:
        request_regions(SyncState, regions, "full_wanted_at")
        dispatch_task("vms.sync_region_status", *regions)
    regions = sorted({(account.pk, volume.region) for volume in volumes})
    if regions:
        request_regions(VolumeSyncState, regions, "wanted_at")
        dispatch_task("volumepool.sync_region_volumes", *regions)
