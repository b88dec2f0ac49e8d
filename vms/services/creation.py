"""Create VMs: validate, choose, check the quota, then write the row and submit the job in one short transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from api.domain_errors import InvalidFieldsError
from cloudaccounts.models import CloudAccount, CloudResource
from cloudaccounts.placements import Errors, Placement, choose_placement, list_known_regions
from tasks import engine
from tasks.engine import Spec
from tasks.models import Job
from tasks.operations import operation
from tenants.models import InformationSystem, Tenant
from tenants.quotas import Needs, require_quota
from tenants.scoping import Role, Scope
from volumepool.models import Volume, VolumePool
from volumepool.services import ClaimedSpare, build_volume, claim_spares

from ..catalogue import Catalogue, Choice, flavor_size_columns
from ..commands.creation import CreateVmCommand
from ..models import VirtualMachine, VMStatus
from ..vm_names import MAX_NAME_LENGTH, choose_names
from .creation_networks import choose_networks, name_first_network, save_floating_ips
from .logins import Login, choose_login, save_logins


@dataclass(frozen=True, slots=True)
class CreationResult:
    """New VMs of one request, the job that creates each, and their network.

    `jobs` is empty after a dry run, which wrote nothing.
    """

    vms: list[VirtualMachine]
    jobs: list[Job]
    network: CloudResource

    @property
    def vm(self) -> VirtualMachine:
        """Return the first of the VMs, which is the only one unless several were requested."""
        return self.vms[0]

    @property
    def job(self) -> Job | None:
        """Return the job that creates the first of the VMs; None after a dry run."""
        return self.jobs[0] if self.jobs else None


@operation("vms.create", CreateVmCommand)
def create_vm(
    *,
    scope: Scope,
    params: Mapping[str, Any],
    errors: Mapping[str, Any] | None = None,
    dry_run: bool = False,
    count: int | None = None,
) -> CreationResult:
    """Record a new VM, or `count` equal ones, and the job that creates each: all of them or none, in one transaction.

    With a count, the name is a pattern (`vms/vm_names.py`). The number of statements does not depend on the count.
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
    login = choose_login(scope, system, params, problems)
    params = name_first_network(params, problems)
    place, choice = _choose_from_catalogue(system, params, problems) if system else (None, Choice())
    for name, found in choice.errors.items():
        problems.setdefault(name, []).extend(found)
    network_choices = choose_networks(system, place, params, problems, count=count or 1)
    if problems:
        raise InvalidFieldsError(problems)
    assert system is not None  # A failed choice is in `problems`.
    assert place is not None
    assert choice.flavor is not None
    assert choice.image is not None or choice.pool is not None
    assert choice.network is not None
    with transaction.atomic():
        # The quota's lock on the tenant makes requests wait for each other, so no two of them find the same name free.
        build = partial(_build_vm, scope, system, place, choice)
        vm = build(params)
        number = 1 if count is None else count
        require_quota(
            system.tenant,
            Needs(number, number * vm.cpu_cores, number * vm.memory_gb, number * vm.disk_gb),
        )
        vms = [vm] if count is None else _build_named_vms(system.tenant, params, count, build)
        if dry_run:
            for each in vms:
                each.created_at = each.updated_at = timezone.now()  # As in the row that would be written.
            return CreationResult(vms, [], choice.network)
        VirtualMachine.objects.bulk_create(vms)
        save_logins(vms, login)
        network_params = save_floating_ips(network_choices, system.tenant, vms)
        boots = _save_boot_volumes(vms, choice.pool) if choice.boots_from_volume else [(None, None)] * number
        specs = [
            Spec(
                _build_command(each, choice, login=login, volume=volume, spare=spare, network_params=fields),
                system.tenant,
            )
            for each, (volume, spare), fields in zip(vms, boots, network_params, strict=True)
        ]
        jobs = []
        for submission in engine.submit_many(specs, user=scope.user):
            if submission.refusal is not None:
                raise submission.refusal
            assert submission.job is not None
            jobs.append(submission.job)
        return CreationResult(vms, jobs, choice.network)


def _build_named_vms(
    tenant: Tenant,
    params: Mapping[str, Any],
    count: int,
    build: Callable[[Mapping[str, Any]], VirtualMachine],
) -> list[VirtualMachine]:
    """Build the rows of a request for several VMs, unsaved. Raises 400 `invalid` when the numbered names are too long."""
    taken = VirtualMachine.objects.for_tenant(tenant)
    names = choose_names(params["name"], count, taken)
    if too_long := [name for name in names if len(name) > MAX_NAME_LENGTH]:
        message = _("With its number, the name has %(count)s characters; at most %(most)s are allowed.")
        values = {"count": len(too_long[0]), "most": MAX_NAME_LENGTH}
        raise InvalidFieldsError({"name": [message % values]})
    return [build({**params, "name": name}) for name in names]


def _build_command(
    vm: VirtualMachine,
    choice: Choice,
    *,
    login: Login,
    volume: Volume | None,
    spare: ClaimedSpare | None,
    network_params: Mapping[str, Any],
) -> CreateVmCommand:
    assert choice.flavor is not None
    assert choice.network is not None
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
        has_login=not login.is_empty,
        registers_host=login.registers_host,
        **network_params,
    )
    command.vm = vm
    return command


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
    return list(CloudAccount.objects.for_tenant(system.tenant).managed().order_by("name"))


def _choose_from_catalogue(
    system: InformationSystem, params: Mapping[str, Any], problems: Errors
) -> tuple[Placement | None, Choice]:
    place, missing = choose_placement(
        _usable_accounts(system),
        params.get("account"),
        params.get("region", ""),
        default_account_id=system.default_account_id,
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
    vm = VirtualMachine(
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
                "tags",
                "deletion_protection",
            )
            if name in params
        },
    )
    # It has no resize: without this, the answer would look for one, once for each VM.
    VirtualMachine._meta.get_field("resize").set_cached_value(vm, None)  # noqa: SLF001 - Django's documented API.
    return vm


def _save_boot_volumes(
    vms: Sequence[VirtualMachine], pool: VolumePool | None
) -> list[tuple[Volume, ClaimedSpare | None]]:
    """Save and return the row of each boot volume, with the spare that it claims; None when the job has to create the volume."""
    spares: list[ClaimedSpare | None] = []
    if pool is not None:
        spares += claim_spares(pool, len(vms))
    spares += [None] * (len(vms) - len(spares))
    volumes = []
    for vm, spare in zip(vms, spares, strict=True):
        if pool is None:
            volume = Volume(
                information_system=vm.information_system,
                account=vm.account,
                region=vm.region,
                name=vm.name,
                size_gb=vm.disk_gb,
            )
        else:
            volume = build_volume(pool, vm.information_system, vm.name, spare)
        # It belongs to the VM from the beginning, so that the quota does not count its size twice.
        volume.vm, volume.is_boot = vm, True
        volumes.append(volume)
    Volume.objects.bulk_create(volumes)
    return list(zip(volumes, spares, strict=True))


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
        place, problems = choose_placement(
            known, account_id, region, default_account_id=system.default_account_id, for_new=for_new
        )
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
