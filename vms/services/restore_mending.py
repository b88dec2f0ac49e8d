"""Mend what `check_restore` has found, by the services and syncs that do the same on any other day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from uuid import UUID, uuid4

from django.db import transaction
from django.utils import timezone

from api.domain_errors import DomainError
from api.messages import message as _
from api.uuids import is_uuid
from cloudaccounts.models import CloudAccount, ReleasedObject
from cloudaccounts.sync.resources import sync_resource
from tasks import restore_guard
from tasks.engine.holding import hold_jobs
from tenants.models import InformationSystem, User
from tenants.scoping import Role, Scope
from volumepool.models import OrphanVolume, SpareVolume, Volume, VolumeSyncState
from volumepool.sync import status as volume_status

from ..models import SyncState, VirtualMachine
from ..sync.restored_regions import Finding, FindingKind
from ..sync.status import sync_region
from .adoption import MAX_ADOPTED, AdoptionRequest, adopt_resources
from .restores import HARMLESS_KINDS, RestoreReport, check_restore, measure_bin_stay

Tell = Callable[[str], None]
# What an adoption reads, also where an account does not sync it.
_INVENTORY_TYPES = ("flavor", "image", "volume", "snapshot", "server")
# Rows of these follow the resources of the same type.
_NETWORK_TYPES = ("security_group", "floating_ip", "server_group")
# What two listings in a row do not show is lost, for syncs of every kind.
_LISTINGS = 2
# The released objects that this mending has written, among those of people.
SET_ASIDE_BY = "check_restore"


def mend_restore(*, user: User, tell: Tell, accept_losses: bool = False) -> RestoreReport:
    """Mend what a check finds, and check again; return what is left. `tell` is called with a line for each thing done.

    The database counts as restored from now on, if it did not already, until somebody ends that state: so nothing else
    changes what is mended. Every part may be repeated, so a run that was interrupted is started again.

    `accept_losses` lets the syncs believe that more is lost than they would believe of themselves, as somebody does who has
    read the report. What is forgotten is set aside before anything is adopted. From then on no sweep takes it for an orphan, whatever fails.
    """
    suspended = restore_guard.suspend()
    assert suspended.suspended_at is not None
    message = _(
        "The database was restored from a backup. Since the backup, this task may have gone on or ended. Check its resource, "
        "then resume or abort it."
    )
    if held := hold_jobs(suspended.suspended_at, message, HARMLESS_KINDS):
        tell(f"{held} jobs are stuck now, until staff decide about each.")
    report = check_restore()
    _quarantine_spares(report.select(FindingKind.SPARE_HANDED_OUT), tell)
    _keep_in_bin(report.select(FindingKind.IN_BIN), tell)
    forgotten = report.select(FindingKind.FORGOTTEN)
    owners = _set_aside(forgotten, tell)
    _sync_resources(forgotten, _INVENTORY_TYPES, tell)
    _adopt(Scope(user, None, Role.ADMIN), forgotten, owners, tell)
    differing = [*report.select(FindingKind.LOST), *report.select(FindingKind.CHANGED)]
    network_objects = [finding for finding in differing if finding.object_type in _NETWORK_TYPES]
    for _listing in range(_LISTINGS):
        _sync_resources(network_objects, _NETWORK_TYPES, tell)
        for account_id, region in _list_places([*forgotten, *differing]):
            _sync_rows(account_id, region, tell, accept_losses=accept_losses)
    return check_restore()


def _quarantine_spares(findings: Iterable[Finding], tell: Tell) -> None:
    """Delete the rows of spares that were handed out, and mark their volumes as used, so that no pool takes them again."""
    for finding in findings:
        with transaction.atomic():
            spare = SpareVolume.objects.select_for_update(of=("self",)).filter(pk=finding.row_id).first()
            if spare is None:
                continue
            OrphanVolume.record_used_volume(
                spare.pool.account, spare.region, finding.cloud_id, spare.name, spare.status
            )
            spare.delete()
        tell(f"Spare {finding.name} ({finding.cloud_id}) is out of its pool: {finding.detail}.")


def _keep_in_bin(findings: Sequence[Finding], tell: Tell) -> None:
    """Let everything in the bin stay there for a full time from now, so that its tenants can look."""
    until = timezone.now() + measure_bin_stay()
    for model, object_type in ((VirtualMachine, "server"), (Volume, "volume")):
        ids = [finding.row_id for finding in findings if finding.object_type == object_type]
        if count := model.objects.filter(pk__in=ids, binned_at__isnull=False).update(bin_until=until):
            tell(f"{count} {object_type}s stay in the bin until {until:%Y-%m-%d %H:%M} UTC.")


def _set_aside(findings: Sequence[Finding], tell: Tell) -> dict[str, InformationSystem]:
    """Record forgotten objects as released; return the information systems of those of which it is known.

    With the id of its former row and its tenant, a released object gets that id back when the tenant adopts it, and so it is
    again the object that its marker says.
    """
    owners = _find_owners(findings)
    ReleasedObject.objects.bulk_create(
        [
            ReleasedObject(
                account_id=finding.account_id,
                region=finding.region,
                kind=finding.object_type,
                cloud_id=finding.cloud_id,
                name=finding.name[:255],
                row_id=UUID(finding.row_id) if is_uuid(finding.row_id) else uuid4(),
                tenant=owners[finding.cloud_id].tenant if finding.cloud_id in owners else None,
                released_by=SET_ASIDE_BY,
            )
            for finding in findings
        ],
        ignore_conflicts=True,
        batch_size=500,
    )
    for finding in findings:
        tell(f"Set aside: {finding.object_type} {finding.name} ({finding.cloud_id}).")
    return owners


def _find_owners(findings: Sequence[Finding]) -> dict[str, InformationSystem]:
    """Return the information system of each forgotten object of which it is known, by the object's id in the cloud.

    That is the system that its metadata names; for a volume, otherwise the one of the VM that it is attached to; in an
    account of a tenant's own, otherwise the tenant's only one. Never a system of another tenant than the account's.
    An object whose id belongs to another object's row is left to staff: it is a duplicate, or the row was made anew.
    """
    systems = {
        str(system.pk): system
        for system in InformationSystem.objects.select_related("tenant").filter(tenant__active=True)
    }
    of_tenant: dict[UUID, list[InformationSystem]] = defaultdict(list)
    for system in systems.values():
        of_tenant[system.tenant_id].append(system)
    accounts = CloudAccount.objects.in_bulk({finding.account_id for finding in findings})
    servers = {finding.server_id for finding in findings if finding.server_id}
    vms = VirtualMachine.objects.filter(openstack_id__in=servers).values_list(
        "openstack_id", "information_system"
    )
    of_server = {server_id: str(system_id) for server_id, system_id in vms}
    row_ids = [finding.row_id for finding in findings if is_uuid(finding.row_id)]
    taken = {
        str(pk)
        for model in (VirtualMachine, Volume)
        for pk in model.objects.filter(pk__in=row_ids).values_list("pk", flat=True)
    }
    owners = {}
    for finding in findings:
        tenant_id = accounts[finding.account_id].tenant_id
        own = of_tenant[tenant_id] if tenant_id is not None else []
        system = systems.get(finding.owner_id) or systems.get(of_server.get(finding.server_id, ""))
        if system is None and len(own) == 1:
            system = own[0]
        if system is not None and tenant_id in {None, system.tenant_id} and finding.row_id not in taken:
            owners[finding.cloud_id] = system
    return owners


def _list_places(findings: Iterable[Finding]) -> list[tuple[int, str]]:
    """Return the accounts and regions of findings."""
    return sorted(
        {(finding.account_id, finding.region) for finding in findings if finding.account_id is not None}
    )


def _sync_resources(findings: Iterable[Finding], types: Iterable[str], tell: Tell) -> None:
    """Sync some types of resources of the accounts that findings are in, with the rows that follow them."""
    for account in CloudAccount.objects.filter(pk__in={finding.account_id for finding in findings}):
        for type_code in types:
            log = sync_resource(account.pk, type_code)
            if log is not None and log.message:
                tell(f"Sync of {type_code} of {account.name}: {log.message}")


def _sync_rows(account_id: int, region: str, tell: Tell, *, accept_losses: bool) -> None:
    """Sync the VMs and volumes of a region by complete listings."""
    if accept_losses:
        for model in (SyncState, VolumeSyncState):
            model.objects.filter(account=account_id, region=region).update(losses_accepted=True)
    run = sync_region(account_id, region, full=True)
    state = volume_status.sync_region(account_id, region)
    for name, message in (("VMs", run.message if run else ""), ("volumes", state.message if state else "")):
        if message:
            tell(f"Sync of {name} of account {account_id} / {region}: {message}")


def _adopt(
    scope: Scope, findings: Sequence[Finding], owners: dict[str, InformationSystem], tell: Tell
) -> None:
    """Adopt forgotten servers with their volumes, then the other volumes, each for the system that it belonged to."""
    for object_type in ("server", "volume"):
        by_place: dict[tuple[int, UUID], list[str]] = defaultdict(list)
        for finding in findings:
            if finding.object_type == object_type and finding.cloud_id in owners and finding.account_id:
                by_place[finding.account_id, owners[finding.cloud_id].pk].append(finding.cloud_id)
        for (account_id, system_id), ids in by_place.items():
            # The volumes of an adopted server have their rows already.
            bound = set(Volume.objects.filter(volume_id__in=ids).values_list("volume_id", flat=True))
            left = [cloud_id for cloud_id in ids if cloud_id not in bound]
            for start in range(0, len(left), MAX_ADOPTED):
                some = left[start : start + MAX_ADOPTED]
                request = (
                    AdoptionRequest(system_id, servers=some)
                    if object_type == "server"
                    else AdoptionRequest(system_id, volumes=some)
                )
                _adopt_some(scope, account_id, request, tell)
    # The volumes of a server went to its system; each goes back to its own, which is of the same tenant.
    for finding in findings:
        system = owners.get(finding.cloud_id)
        if finding.object_type == "volume" and system is not None:
            Volume.objects.filter(
                volume_id=finding.cloud_id, information_system__tenant=system.tenant_id
            ).update(information_system=system)


def _adopt_some(scope: Scope, account_id: int, request: AdoptionRequest, tell: Tell) -> None:
    """Adopt some servers or volumes, and tell what was refused."""
    try:
        result = adopt_resources(scope=scope, account_id=account_id, request=request, mode="valid")
    except DomainError as refusal:
        ids = ", ".join([*request.servers, *request.volumes])
        tell(f"Not adopted for {request.information_system}: {ids}: {refusal.detail}")
        return
    for candidate in result.candidates:
        name = candidate.resource.name if candidate.resource is not None else candidate.id
        outcome = f"not adopted: {candidate.refusal.detail}" if candidate.refusal else "adopted"
        tell(f"{candidate.type.capitalize()} {name} ({candidate.id}) of {result.tenant.name}: {outcome}.")
