"""Create VMs: validate, choose, check the quota, then write the row and submit the job in one short transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from api.domain_errors import InvalidFieldsError
from cloudaccounts.models import CloudAccount, CloudResource
from cloudaccounts.placements import Errors, Placement, choose_placement, list_known_regions
from tasks import engine
from tasks.models import Job
from tenants.models import InformationSystem
from tenants.quotas import Needs, require_quota
from tenants.scoping import Role, Scope
from volumepool.models import Volume, VolumePool
from volumepool.services import ClaimedSpare, build_volume, claim_spares

from ..catalogue import Catalogue, Choice, flavor_size_columns
from ..commands.creation import CreateVmCommand
from ..models import VirtualMachine, VMStatus


@dataclass(frozen=True, slots=True)
class CreationResult:
    """A new VM, the job that creates it, and its network.

    `job` is None after a dry run, which wrote nothing.
    """

    vm: VirtualMachine
    job: Job | None
    network: CloudResource


def create_vm(
    *,
    scope: Scope,
    params: Mapping[str, Any],
    errors: Mapping[str, Any] | None = None,
    dry_run: bool = False,
) -> CreationResult:
    """Record a new VM and the job that creates it.

    `params` are the valid fields of the request; `errors` are the errors of the others, which are raised together with those
    found here. The VM gets the size of the smallest flavor that fits.

    Raises `DomainError`: 403 `role_too_low`; 400 `invalid`, by field; 409 `quota_exceeded`, with the figures.
    Safe beside other creations: the tenant's quota is counted under a lock.
    """
    scope.require(Role.ADMIN, VirtualMachine)
    problems: Errors = {name: list(found) for name, found in (errors or {}).items()}
    system = _find_system(scope, params, problems)
    _check_runtime(params, system.tenant.today() if system else None, problems)
    if not {"os_type", "image"} & {*params, *problems}:
        problems["os_type"] = [_("Enter an operating system (os_type) or an image.")]
    place, choice = _choose_from_catalogue(system, params, problems) if system else (None, Choice())
    for name, found in choice.errors.items():
        problems.setdefault(name, []).extend(found)
    if problems:
        raise InvalidFieldsError(problems)
    assert system is not None  # A failed choice is in `problems`.
    assert place is not None
    assert choice.flavor is not None
    assert choice.image is not None or choice.pool is not None
    assert choice.network is not None
    with transaction.atomic():
        vm = _build_vm(scope, system, place, choice, params)
        needs = Needs(1, vm.cpu_cores, vm.memory_gb, vm.disk_gb)
        require_quota(system.tenant, needs)
        if dry_run:
            vm.created_at = vm.updated_at = timezone.now()  # As in the row that would be written.
            return CreationResult(vm, None, choice.network)
        vm.save(force_insert=True)
        volume, spare = _save_boot_volume(vm, choice.pool) if choice.boots_from_volume else (None, None)
        command = CreateVmCommand(
            str(vm.pk),
            flavor_id=choice.flavor.cloud_id,
            network_id=choice.network.cloud_id,
            image_id=choice.image.cloud_id if choice.image else "",
            availability_zone=choice.zone,
            boot_volume_id=str(volume.pk) if volume else None,
            volume_snapshot_id=choice.volume_snapshot_id or None,
            spare_id=spare.volume_id if spare else None,
            spare_name=spare.name if spare else "",
        )
        command.vm = vm
        job = engine.submit(command, tenant=system.tenant, user=scope.user).job
        return CreationResult(vm, job, choice.network)


def _check_runtime(params: Mapping[str, Any], today: date | None, problems: Errors) -> None:
    """Add the errors of start and end date. `today` is the tenant's; None when the tenant is not known, which is an error of its own."""
    starts, ends = params.get("runtime_start"), params.get("runtime_end")
    if starts is not None and ends is not None and ends < starts:
        problems.setdefault("runtime_end", []).append(_("The end date is before the start date."))
    elif ends is not None and today is not None and ends < today:
        problems.setdefault("runtime_end", []).append(_("The end date has passed."))


def _find_system(scope: Scope, params: Mapping[str, Any], problems: Errors) -> InformationSystem | None:
    if "information_system" not in params:
        return None
    system = (
        InformationSystem.objects.within(scope)
        .select_related("tenant")
        .filter(pk=params["information_system"])
        .first()
    )
    if system is None:
        message = _("Information system not found: %(id)s.")
        problems["information_system"] = [message % {"id": params["information_system"]}]
    return system


def _usable_accounts(system: InformationSystem) -> list[CloudAccount]:
    """Return the accounts that the system's tenant may use: its own, and the shared ones."""
    return list(CloudAccount.objects.for_tenant(system.tenant).order_by("name"))


def _choose_from_catalogue(
    system: InformationSystem, params: Mapping[str, Any], problems: Errors
) -> tuple[Placement | None, Choice]:
    place, missing = choose_placement(
        system, _usable_accounts(system), params.get("account"), params.get("region", "")
    )
    problems.update({name: found for name, found in missing.items() if name not in problems})
    if place is None or missing.keys() & problems.keys():
        return place, Choice()
    return place, Catalogue(place, system).choose(params)


def _build_vm(
    scope: Scope, system: InformationSystem, place: Placement, choice: Choice, params: Mapping[str, Any]
) -> VirtualMachine:
    assert choice.flavor is not None
    boot_disk = params["disk_gb"] if choice.boots_from_volume else None
    attributes = choice.image.attributes if choice.image else {}
    source_name = choice.image.name if choice.image else str(choice.pool and choice.pool.type)
    return VirtualMachine(
        information_system=system,
        account=place.account,
        region=place.region,
        status=VMStatus.BUILDING,
        desired_state=VirtualMachine.DesiredState.RUNNING,
        created_by=scope.user,
        image_name=source_name[:255],
        os_type=(params.get("os_type") or attributes.get("os_type") or "")[:50],
        os_version=(params.get("os_version") or attributes.get("os_version") or "")[:50],
        availability_zone=choice.zone or "",
        **flavor_size_columns(choice.flavor, boot_disk_gb=boot_disk),
        **{
            name: params[name]
            for name in (
                "name",
                "description",
                "data_center_type",
                "runtime_start",
                "runtime_end",
                "metadata",
            )
            if name in params
        },
    )


def _save_boot_volume(vm: VirtualMachine, pool: VolumePool | None) -> tuple[Volume, ClaimedSpare | None]:
    """Save and return the row of the boot volume, with the spare that it claims; None when the job has to create the volume."""
    spare = None
    if pool is None:
        volume = Volume(
            information_system=vm.information_system,
            account=vm.account,
            region=vm.region,
            name=vm.name,
            size_gb=vm.disk_gb,
        )
    else:
        spare = next(iter(claim_spares(pool, 1)), None)
        volume = build_volume(pool, vm.information_system, vm.name, spare)
    # It belongs to the VM from the beginning, so that the quota does not count its size twice.
    volume.vm, volume.is_boot = vm, True
    volume.save(force_insert=True)
    return volume, spare


def list_creation_options(
    *, scope: Scope, system_id: UUID | None, account_id: int | None, region: str, for_new: bool = True
) -> dict[str, Any]:
    """Return the choices for a new VM of an information system. Raises 400 `invalid`, as `create_vm` does.

    With `for_new` false, return the choices for changing an existing VM, also in an account that takes no new VMs.
    """
    problems: Errors = {}
    systems = InformationSystem.objects.within(scope).select_related("tenant").order_by("name")
    params = {"information_system": system_id} if system_id else {}
    system = _find_system(scope, params, problems) if system_id else systems.first()
    if problems:
        raise InvalidFieldsError(problems)
    if system is None:
        problems["information_system"] = [_("No information system yet. Create one first.")]
    known = _usable_accounts(system) if system else []
    accounts = [account for account in known if account.is_usable or (account.active and not for_new)]
    place: Placement | None = None
    if system is not None:
        place, problems = choose_placement(system, known, account_id, region, for_new=for_new)
    if system is not None and problems and (account_id is not None or region):
        raise InvalidFieldsError(problems)
    catalogue = Catalogue(place, system) if place and system else None
    account = place.account.pk if place else account_id or (system.default_account_id if system else None)
    account = account if account in {usable.pk for usable in accounts} else None
    return {
        "information_system": system.pk if system else None,
        "accounts": accounts,
        "account": account,
        "regions": list_known_regions(account) if account is not None else [],
        "region": place.region if place else "",
        "missing": problems,
        "flavors": catalogue.flavors() if catalogue else [],
        "images": catalogue.images() if catalogue else [],
        "networks": catalogue.networks() if catalogue else [],
        "zones": catalogue.zones() if catalogue else [],
        "volume_types": catalogue.volume_types() if catalogue else [],
        "default_network": (system.default_network or system.tenant.default_network) if system else "",
    }
