"""The page of one VM: its columns, the job that holds it, and the forms to change it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from api.domain_errors import DomainError
from api.errors import status_of
from api.form_errors import errors_by_field, show_error
from api.page_addresses import page_part
from tasks.models import EntityLock, Job, JobStatus
from tasks.serializers import JobSerializer
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Scope
from volumepool.models import Volume

from ..actions import ACTIONS
from ..models import VirtualMachine, VMOperationLog, VMSnapshot
from ..serializers import OperationLogSerializer, VirtualMachineSerializer, jobs_in_flight
from ..services.console import last_console
from .form_choices import fetch_choices
from .listing import permission_context

LOG_LINES = 20
LOG_PAGE = 100
MOST_FREE_VOLUMES = 200
_FAILED = frozenset({JobStatus.FAILED, JobStatus.ERRORED, JobStatus.CANCELLED})


@login_required
@never_cache
@require_GET
def vm_detail_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show a VM; of a deleted one, what the operation log still has."""
    scope = page_scope(request)
    vm = VirtualMachine.objects.within(scope).shown().filter(pk=pk).first()
    return render_vm_page(request, scope, vm) if vm is not None else _render_deleted_vm(request, scope, pk)


@page_part
@login_required
@never_cache
@require_GET
def vm_live_part(request: PageRequest, pk: UUID) -> HttpResponse:
    """Render the part of the page that follows a job. When that job no longer holds the VM, the whole page is reloaded."""
    scope = page_scope(request)
    vm = VirtualMachine.objects.within(scope).shown().filter(pk=pk).first()
    holder = jobs_in_flight([vm]).get(vm.lock_key) if vm is not None else None
    if vm is None or holder is None or str(holder.pk) != request.GET.get("job"):
        return HttpResponse(headers={"HX-Refresh": "true"})
    return render(request, "vms/live.html", live_context(scope, vm, holder))


@login_required
@require_GET
def operation_log_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show the operation log of a VM, also of a deleted one."""
    scope = page_scope(request)
    entries = VMOperationLog.objects.within(scope).filter(vm_id=pk).order_by("-id")
    vm = VirtualMachine.objects.within(scope).filter(pk=pk).first()
    last = entries.first()
    if vm is None and last is None:
        raise Http404
    page = Paginator(entries, LOG_PAGE).get_page(request.GET.get("page"))
    context = {
        "scope": scope,
        "vm_id": pk,
        "name": vm.name if vm is not None else last and last.vm_name,
        "page": page,
        "entries": OperationLogSerializer(list(page.object_list), many=True).data,
    }
    return render(request, "vms/log_page.html", context)


def render_vm_page(
    request: PageRequest,
    scope: Scope,
    vm: VirtualMachine,
    *,
    form: str = "",
    refused: DomainError | None = None,
) -> HttpResponse:
    """Render the page of a VM. After a refusal, `form` keeps what was entered in it, with the errors."""
    forms = _initial_forms(vm)
    if refused is not None:
        entered = {name: request.POST.get(name, "") for name in forms[form] if name != "version"}
        errors = errors_by_field(refused)
        show_error(request, refused, shown_beside=forms[form])
        forms[form] |= {**entered, "is_open": True, "errors": errors}
    holder = jobs_in_flight([vm]).get(vm.lock_key)
    allowed = permission_context(scope)
    context = {
        **live_context(scope, vm, holder),
        "forms": forms,
        # Where a language form leads back to: the address of a form that was refused takes no GET.
        "here": reverse("vm-detail-page", args=[vm.pk]),
        "data_center_types": VirtualMachine.DataCenterType.choices,
        "console": last_console(scope=scope, vm=vm) if allowed["may_control"] else None,
        "last_job": None if holder else _last_failure(scope, vm.pk),
        **_volume_context(scope, vm),
        **_snapshot_context(scope, vm),
        **_log_context(scope, vm.pk),
    }
    if allowed["may_administer"]:
        place = {
            "information_system": str(vm.information_system_id),
            "account": str(vm.account_id),
            "region": vm.region,
            "boot_volume": "true" if context["boots_from_volume"] else "",
        }
        choices = fetch_choices(scope, place, for_new=False)
        here = (choices.account, choices.region) == (vm.account_id, vm.region)
        least = 0 if context["boots_from_volume"] else vm.disk_gb
        sizes = [
            size for size in choices.sizes if size.name != vm.flavor_name and size.disk_gb >= least and here
        ]
        context |= {"sizes": sizes, "volume_types": choices.volume_types if here else []}
    return render(request, "vms/detail.html", context, status=status_of(refused) if refused else 200)


def live_context(scope: Scope, vm: VirtualMachine, holder: Job | None) -> dict[str, Any]:
    """Return the context of the part that follows a job."""
    jobs = {vm.lock_key: holder} if holder else {}
    shown: Any = VirtualMachineSerializer(vm, context={"scope": scope, "jobs_in_flight": jobs}).data
    job = Job.objects.for_display().filter(pk=holder.pk).first() if holder else None
    names = [name for name in shown["allowed_actions"] if not ACTIONS[name].ends_resize]
    return {
        "scope": scope,
        "vm": shown,
        # As a list: a template that asks a dictionary for its items gets an entry of that name, if there is one.
        "metadata": sorted(vm.metadata.items()),
        "desired_state": vm.get_desired_state_display(),
        "buttons": [(name, ACTIONS[name].title) for name in names],
        "job": JobSerializer(job).data if job else None,
        # A stuck job moves again only when a person decides so.
        "follow": job is not None and job.status != JobStatus.STUCK,
        **permission_context(scope),
    }


def _initial_forms(vm: VirtualMachine) -> dict[str, dict[str, Any]]:
    """Return the initial values of each form."""

    def day(date: Any) -> str:
        return date.isoformat() if date else ""

    return {
        "change": {
            "name": vm.name,
            "description": vm.description,
            "data_center_type": vm.data_center_type,
            "runtime_start": day(vm.runtime_start),
            "runtime_end": day(vm.runtime_end),
            "metadata": "\n".join(f"{name}={value}" for name, value in sorted(vm.metadata.items())),
            "version": vm.version,
        },
        "resize": {
            "flavor": "",
            "cpu_cores": vm.cpu_cores,
            "memory_gb": vm.memory_gb,
            "disk_gb": vm.disk_gb,
        },
        "attach": {"volume": ""},
        "new_volume": {"size_gb": "", "name": "", "type": ""},
        "snapshot": {"name": ""},
        "remove": {"name": "", "volumes": "delete", "force": "", "version": vm.version},
        "detach": {},
    }


def _volume_context(scope: Scope, vm: VirtualMachine) -> dict[str, Any]:
    """Return the VM's volumes, and those that could be attached."""
    ours = Volume.objects.within(scope)
    volumes = list(ours.filter(vm=vm).order_by("-is_boot", "created_at"))
    free = ours.filter(
        vm=None,
        status="available",
        volume_id__isnull=False,
        account=vm.account_id,
        region=vm.region,
        information_system__tenant=vm.information_system.tenant_id,
    )
    return {
        "volumes": volumes,
        "boots_from_volume": any(volume.is_boot for volume in volumes),
        "free_volumes": free.order_by("name")[:MOST_FREE_VOLUMES],
    }


def _snapshot_context(scope: Scope, vm: VirtualMachine) -> dict[str, Any]:
    snapshots = list(VMSnapshot.objects.within(scope).filter(vm_id=vm.pk).select_related("created_by"))
    return {"snapshots": attach_jobs(snapshots), "snapshots_change": any(map(is_held, snapshots))}


def attach_jobs(snapshots: list[VMSnapshot]) -> list[VMSnapshot]:
    """Put the job that holds each snapshot beside it, as `job`: one query for all of them."""
    keys = [snapshot.lock_key for snapshot in snapshots]
    held = {lock.key: lock.job for lock in EntityLock.objects.filter(key__in=keys).select_related("job")}
    for snapshot in snapshots:
        snapshot.job = held.get(snapshot.lock_key)  # type: ignore[attr-defined] # for the template alone.
    return snapshots


def is_held(snapshot: VMSnapshot) -> bool:
    """Return whether a snapshot that `attach_jobs` has seen is being deleted."""
    return getattr(snapshot, "job", None) is not None


def _log_context(scope: Scope, vm_id: UUID) -> dict[str, Any]:
    entries = VMOperationLog.objects.within(scope).filter(vm_id=vm_id).order_by("-id")[: LOG_LINES + 1]
    found: Any = OperationLogSerializer(list(entries), many=True).data
    return {"entries": found[:LOG_LINES], "has_more": len(found) > LOG_LINES, "vm_id": vm_id}


def _last_job(scope: Scope, vm_id: UUID) -> Job | None:
    # Reading a console changes nothing, so it is left out.
    jobs = Job.objects.within(scope).filter(entity_id=str(vm_id), entity_type="vm", parent=None)
    job: Job | None = jobs.exclude(kind="vms.read_console").order_by("-created_at").first()
    return job


def _last_failure(scope: Scope, vm_id: UUID) -> Mapping[str, Any] | None:
    job = _last_job(scope, vm_id)
    if job is None or job.status not in _FAILED:
        return None
    return JobSerializer(job).data


def _render_deleted_vm(request: PageRequest, scope: Scope, pk: UUID) -> HttpResponse:
    context = _log_context(scope, pk)
    last = VMOperationLog.objects.within(scope).filter(vm_id=pk).order_by("-id").first()
    if last is None:
        raise Http404
    job = _last_job(scope, pk)
    context |= {"scope": scope, "name": last.vm_name, "job": JobSerializer(job).data if job else None}
    return render(request, "vms/gone.html", context)
