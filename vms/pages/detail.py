"""The page of a VM: its columns, the job that holds it, and the forms to change it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from api.domain_errors import DomainError
from api.errors import status_of
from api.form_errors import errors_by_field, show_error
from cloudaccounts.models import CloudResource
from pages.key_values import format_key_values
from pages.panels import is_panel_request, render_page
from tasks.models import EntityLock, Job, JobStatus
from tasks.serializers import JobSerializer
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope
from tenants.tag_filters import list_tags
from volumepool.models import Volume

from ..actions import ACTIONS
from ..catalogue import list_withdrawn_names
from ..models import VirtualMachine, VMOperationLog, VMSnapshot
from ..serializers import OperationLogSerializer, VirtualMachineSerializer, fetch_holding_jobs
from ..services.migration import list_host_aggregates, may_migrate, may_see_host
from ..services.removal import goes_to_bin
from .console import build_console_context
from .creation import build_retry_url
from .form_choices import fetch_choices
from .listing import FORCE_RESTART, build_permission_context, label_progress
from .logins import build_access_context
from .network_tab import NETWORK_FORMS, build_network_context

LOG_ENTRIES = 20
LOG_PAGE_SIZE = 100
MAX_FREE_VOLUMES = 200
# The operations after which a VM is not this tenant's any more, although the cloud has it.
_LEFT_BY = frozenset({VMOperationLog.Operation.MOVE, VMOperationLog.Operation.RELEASE})
_FAILED = frozenset({JobStatus.FAILED, JobStatus.ERRORED, JobStatus.CANCELLED})


@login_required
@never_cache
@require_GET
def vm_detail_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show a VM; for a deleted one, its operation log."""
    scope = page_scope(request)
    vm = VirtualMachine.objects.within(scope).for_display().filter(pk=pk).first()
    return render_vm_page(request, scope, vm) if vm is not None else _render_deleted_vm(request, scope, pk)


@login_required
@require_GET
def operation_log_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show the operation log of a VM, also of a deleted one."""
    scope = page_scope(request)
    entries = VMOperationLog.objects.of_vm(scope, pk).order_by("-id")
    vm = VirtualMachine.objects.within(scope).filter(pk=pk).first()
    last = entries.first()
    if vm is None and last is None:
        raise Http404
    page = Paginator(entries, LOG_PAGE_SIZE).get_page(request.GET.get("page"))
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
    """Render the page of a VM. After an error, the form named `form` shows the entered values and the errors."""
    holder = fetch_holding_jobs([vm]).get(vm.lock_key)
    tab = TAB_OF_FORM.get(form) or request.GET.get("tab", "")
    tab = tab if tab in TABS else "overview"
    context = {
        **_build_head_context(scope, vm, holder),
        "last_job": None if holder else _find_last_failure(scope, vm.pk),
        "tab": tab,
        "tabs": [{"name": name, "label": label, "is_current": name == tab} for name, label in TABS.items()],
        # The address to return to after a change of language: that of a refused form takes no GET.
        "here": f"{reverse('vm-detail-page', args=[vm.pk])}?tab={tab}",
    }
    if build_tab := TAB_CONTEXTS.get(tab):
        context |= build_tab(request, scope, vm)
    if not is_panel_request(request):
        context |= _build_form_context(request, scope, vm, tab=tab, form=form, refused=refused)
    response = render_page(
        request,
        "vms/detail.html",
        context,
        panels={"vm": "vms/detail_panel.html"},
        status=status_of(refused) if refused else 200,
    )
    if origin := context.get("console_origin"):
        # The console runs in a frame of this answer alone.
        response._csp_update = {"frame-src": [origin]}  # type: ignore[attr-defined] # noqa: SLF001 - django-csp's own way.
    return response


def _build_head_context(scope: Scope, vm: VirtualMachine, holder: Job | None) -> dict[str, Any]:
    """Return the context of the VM's state, its buttons and the job that holds it."""
    jobs = {vm.lock_key: holder} if holder else {}
    fields: Any = VirtualMachineSerializer(vm, context={"scope": scope, "holding_jobs": jobs}).data
    job = Job.objects.for_display().filter(pk=holder.pk).first() if holder else None
    if fields["current_job"]:
        fields["current_job"]["progress_label"] = label_progress(fields["current_job"])
    actions = [(name, ACTIONS[name]) for name in fields["allowed_actions"] if not ACTIONS[name].ends_resize]
    # A rescue is requested in a dialog, with its image.
    rare = [(name, action.title) for name, action in actions if action.is_rare and name != "rescue"]
    if any(name == "restart" for name, _action in actions):
        rare.insert(0, (FORCE_RESTART, _("Force restart")))
    return {
        "scope": scope,
        "vm": fields,
        # A list, because `metadata.items` in a template is the entry named "items", if there is one.
        "metadata": sorted(vm.metadata.items()),
        "tags": list_tags(vm.tags),
        "uses_bin": goes_to_bin(vm),
        "bin_days": settings.BIN_DAYS,
        # As the columns of the row: a template formats times, not the texts of the API.
        "bin_until": vm.bin_until,
        "desired_state": vm.get_desired_state_display(),
        "buttons": [(name, action.title) for name, action in actions if not action.is_rare],
        "rare_buttons": rare,
        "can_rescue": "rescue" in fields["allowed_actions"],
        "may_migrate": may_migrate(scope),
        "job": JobSerializer(job).data if job else None,
        # A stuck job changes only when a person acts.
        "is_busy": job is not None and job.status != JobStatus.STUCK,
        **build_permission_context(scope),
    }


def _build_form_context(
    request: PageRequest,
    scope: Scope,
    vm: VirtualMachine,
    *,
    tab: str,
    form: str,
    refused: DomainError | None,
) -> dict[str, Any]:
    """Return the forms of the tab. After an error, the form named `form` has the entered values and the errors."""
    forms = _build_initial_forms(vm)
    if refused is not None:
        entered = {name: request.POST.get(name, "") for name in forms[form] if name != "version"}
        errors = errors_by_field(refused)
        show_error(request, refused, shown_beside=forms[form])
        forms[form] |= {**entered, "is_open": True, "errors": errors}
    context: dict[str, Any] = {
        "forms": forms,
        "data_center_types": VirtualMachine.DataCenterType.choices,
    }
    if tab in {"settings", "volumes"} and scope.allows(Role.ADMIN, VirtualMachine):
        context |= _build_choice_context(scope, vm)
    return context


def _build_choice_context(scope: Scope, vm: VirtualMachine) -> dict[str, Any]:
    """Return the flavors that the VM can be resized to, and the volume types of its region."""
    boots_from_volume = Volume.objects.filter(vm=vm, is_boot=True).exists()
    place = {
        "information_system": str(vm.information_system_id),
        "account": str(vm.account_id),
        "region": vm.region,
        "boot_volume": "true" if boots_from_volume else "",
    }
    choices = fetch_choices(scope, place, for_new=False)
    here = (choices.account, choices.region) == (vm.account_id, vm.region)
    least = 0 if boots_from_volume else vm.disk_gb
    return {
        "boots_from_volume": boots_from_volume,
        "sizes": [
            size for size in choices.sizes if size.name != vm.flavor_name and size.disk_gb >= least and here
        ],
        "volume_types": choices.volume_types if here else [],
    }


def _build_initial_forms(vm: VirtualMachine) -> dict[str, dict[str, Any]]:
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
            "metadata": format_key_values(vm.metadata),
            "tags": format_key_values(vm.tags),
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
        "remove": {"name": "", "volumes": _initial_volumes(vm), "force": "", "version": vm.version},
        "detach": {},
        **NETWORK_FORMS,
    }


def _initial_volumes(vm: VirtualMachine) -> str:
    """Return the choice about the volumes: to keep them, or what was chosen when the VM was moved to the bin."""
    return "delete" if vm.is_in_bin and vm.bin_deletes_volumes else "keep"


def _build_overview_context(request: PageRequest, scope: Scope, vm: VirtualMachine) -> dict[str, Any]:
    """Return the tags that the server has in the cloud, as the last sync of the account has found them, and what is no longer offered."""
    attributes = (
        CloudResource.objects.filter(
            account=vm.account_id, region=vm.region, type="server", cloud_id=vm.openstack_id or ""
        )
        .values_list("attributes", flat=True)
        .first()
    )
    tags = (attributes or {}).get("tags")
    return {
        "cloud_tags": [(str(tag), "") for tag in tags] if isinstance(tags, list) else [],
        "withdrawn": list_withdrawn_names(vm),
        **_build_host_context(scope, vm),
    }


def _build_host_context(scope: Scope, vm: VirtualMachine) -> dict[str, Any]:
    """Return the host that the server runs on, for who may migrate it."""
    if not may_see_host(scope):
        return {}
    return {"sees_host": True, "host": vm.host, "host_aggregates": list_host_aggregates(vm)}


def _build_volume_context(request: PageRequest, scope: Scope, vm: VirtualMachine) -> dict[str, Any]:
    """Return the volumes of the VM, and the free volumes that it can attach."""
    visible = Volume.objects.within(scope)
    volumes = list(visible.filter(vm=vm).order_by("-is_boot", "created_at"))
    free = visible.filter(
        binned_at=None,
        vm=None,
        status="available",
        volume_id__isnull=False,
        account=vm.account_id,
        region=vm.region,
        information_system__tenant=vm.information_system.tenant_id,
    )
    return {
        "volumes": volumes,
        "free_volumes": free.order_by("name")[:MAX_FREE_VOLUMES],
    }


def _build_snapshot_context(request: PageRequest, scope: Scope, vm: VirtualMachine) -> dict[str, Any]:
    snapshots = list(VMSnapshot.objects.within(scope).filter(vm_id=vm.pk).select_related("created_by"))
    set_holding_jobs(snapshots)
    context: dict[str, Any] = {"snapshots": snapshots}
    return context | ({"is_busy": True} if any(map(is_held, snapshots)) else {})


def _build_activity_context(request: PageRequest, scope: Scope, vm: VirtualMachine) -> dict[str, Any]:
    return _build_log_context(scope, vm.pk)


def set_holding_jobs(snapshots: list[VMSnapshot]) -> list[VMSnapshot]:
    """Set on each snapshot the job that holds it, as `job`: one query for all of them."""
    keys = [snapshot.lock_key for snapshot in snapshots]
    held = {lock.key: lock.job for lock in EntityLock.objects.filter(key__in=keys).select_related("job")}
    for snapshot in snapshots:
        snapshot.job = held.get(snapshot.lock_key)  # type: ignore[attr-defined] # for the template alone.
    return snapshots


def is_held(snapshot: VMSnapshot) -> bool:
    """Return whether a job holds a snapshot that has passed `set_holding_jobs`."""
    return getattr(snapshot, "job", None) is not None


def _build_log_context(scope: Scope, vm_id: UUID) -> dict[str, Any]:
    entries = VMOperationLog.objects.of_vm(scope, vm_id).order_by("-id")[: LOG_ENTRIES + 1]
    found: Any = OperationLogSerializer(list(entries), many=True).data
    return {"entries": found[:LOG_ENTRIES], "has_more": len(found) > LOG_ENTRIES, "vm_id": vm_id}


def _find_last_job(scope: Scope, vm_id: UUID) -> Job | None:
    # Reading a console changes nothing, so it is left out.
    jobs = Job.objects.within(scope).filter(entity_id=str(vm_id), entity_type="vm", parent=None)
    job: Job | None = jobs.exclude(kind="vms.read_console").order_by("-created_at").first()
    return job


def _find_last_failure(scope: Scope, vm_id: UUID) -> Mapping[str, Any] | None:
    job = _find_last_job(scope, vm_id)
    if job is None or job.status not in _FAILED:
        return None
    return JobSerializer(job).data


def _render_deleted_vm(request: PageRequest, scope: Scope, pk: UUID) -> HttpResponse:
    context = _build_log_context(scope, pk)
    last = VMOperationLog.objects.within(scope).filter(vm_id=pk).order_by("-id").first()
    if last is None:
        raise Http404
    job = _find_last_job(scope, pk)
    data: Any = JobSerializer(job).data if job else None
    # It may not be deleted: what happened to it last says why it is not here.
    left_by = last.operation if last.operation in _LEFT_BY else ""
    context |= {
        "scope": scope,
        "name": last.vm_name,
        "job": data if not left_by else None,
        "left_by": left_by,
    }
    if data and not left_by and scope.allows(Role.ADMIN, VirtualMachine):
        context["retry_url"] = build_retry_url(data, last.vm_name)
    return render(request, "vms/gone.html", context)


# The tabs of a VM's page, and what each of them needs besides the VM itself.
TABS = {
    "overview": _("Overview"),
    "volumes": _("Volumes"),
    "network": _("Network"),
    "snapshots": _("Snapshots"),
    "access": _("Access"),
    "console": _("Console"),
    "activity": _("Activity"),
    "settings": _("Settings"),
}


TAB_CONTEXTS: dict[str, Callable[[PageRequest, Scope, VirtualMachine], dict[str, Any]]] = {
    "overview": _build_overview_context,
    "network": build_network_context,
    "volumes": _build_volume_context,
    "snapshots": _build_snapshot_context,
    "access": build_access_context,
    "console": build_console_context,
    "activity": _build_activity_context,
}
# The tab that shows a form, and so its errors.
TAB_OF_FORM = {
    "change": "settings",
    "resize": "settings",
    "remove": "settings",
    "attach": "volumes",
    "new_volume": "volumes",
    "detach": "volumes",
    "snapshot": "snapshots",
    "interface": "network",
    "groups": "network",
    "detach_interface": "network",
}
