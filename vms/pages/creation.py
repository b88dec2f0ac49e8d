"""The form for a new VM. Its choices come from the last sync, by the services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import BadRequest
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from api.domain_errors import DomainError, InvalidFieldsError
from api.errors import status_of
from api.form_errors import errors_by_field, filled_fields, show_error
from api.serializers import split_validation
from pages.key_values import parse_key_values
from tasks.models import Job, JobStatus
from tenants.models import InformationSystem
from tenants.quotas import Needs, measure_usage
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope

from ..models import VirtualMachine, VMSnapshot
from ..serializers import NewVmSerializer
from ..serializers.creation import MAX_COUNT
from ..services import CreationResult, create_vm
from ..vm_names import PLACEHOLDER
from .creation_networks import (
    NETWORK_VALUES,
    add_network_params,
    build_network_choices,
    find_network_errors,
    read_lists,
)
from .form_choices import Choices, fetch_choices
from .listing import build_quota_lines
from .logins import LOGIN_VALUES, apply_template, build_login_context, build_login_data, read_login_form
from .sizes import Size, find_smallest, is_figure

# The fields of the form, with their initial values.
INITIAL_VALUES = {
    "information_system": "",
    "account": "",
    "region": "",
    "name": "",
    "flavor": "",
    "cpu_cores": "2",
    "memory_gb": "4",
    "disk_gb": "40",
    "boot": "",
    "boot_volume": "",
    "network": "",
    "availability_zone": "",
    "data_center_type": VirtualMachine.DataCenterType.PRODUCTION.value,
    "runtime_start": "",
    "runtime_end": "",
    "description": "",
    "count": "1",
    "tags": "",
    "deletion_protection": "",
    **LOGIN_VALUES,
    **NETWORK_VALUES,
}
# The fields that the API takes as they are entered; image and size are derived from several fields.
COPIED_FIELDS = (
    "information_system",
    "account",
    "region",
    "name",
    "network",
    "availability_zone",
    "data_center_type",
    "runtime_start",
    "runtime_end",
    "description",
    "boot_volume",
    "cpu_cores",
    "memory_gb",
    "disk_gb",
    "deletion_protection",
)


@login_required
@require_http_methods(["GET", "POST"])
def new_vm_page(request: PageRequest) -> HttpResponse:
    """Show the form; on POST, create the VM (or show the summary of a dry run), or show every error.

    A POST with `reload` shows the form as it is now: the choices for another system, account or size, and the summary, which
    follows the form while it is being filled in.
    """
    scope = page_scope(request)
    try:
        scope.require(Role.ADMIN, VirtualMachine)
        sent = request.POST if request.method == "POST" else request.GET
        entered = _read_form(sent) | read_lists(sent) | read_login_form(request.user, sent)
        if sent.get("template") and (request.method != "POST" or "reload" in sent):
            apply_template(scope, entered, sent["template"])
        _apply_snapshot(scope, entered, is_submitted=request.method == "POST" and "reload" not in sent)
        choices = fetch_choices(scope, entered)
    except DomainError as refused:
        show_error(request, refused)
        return redirect("vm-page")
    # A link names an image by its id, also one that the form offers as a version of an operating system.
    entered["boot"] = choices.boot_values.get(entered["boot"].removeprefix("image:"), entered["boot"])
    if request.method != "POST" or "reload" in request.POST:
        return _render_form(request, scope, entered, choices)
    dry_run = "dry_run" in request.POST
    try:
        new = _create(scope, entered, choices, dry_run=dry_run)
    except DomainError as refused:
        show_error(request, refused, shown_beside={*INITIAL_VALUES, "os_type", "os_version", "image"})
        errors = errors_by_field(refused) if isinstance(refused, InvalidFieldsError) else {}
        return _render_form(request, scope, entered, choices, errors=errors, status=status_of(refused))
    if new.job is None:
        return _render_form(request, scope, entered, choices, planned=new)
    if len(new.vms) > 1:
        messages.success(
            request,
            ngettext("Creating %(count)s VM.", "Creating %(count)s VMs.", len(new.vms))
            % {"count": len(new.vms)},
        )
        return redirect("vm-page")
    return redirect("vm-detail-page", new.vm.pk)


def build_retry_url(job: Mapping[str, Any], name: str) -> str:
    """Return the address of the form with the values of a creation that failed; "" for any other job."""
    if job["kind"] != "vms.create" or job["status"] not in {JobStatus.FAILED, JobStatus.ERRORED}:
        return ""
    params = Job.objects.values_list("params", flat=True).get(pk=job["id"])
    values = {
        "name": name,
        "image": params.get("image_id"),
        "flavor": params.get("flavor_id"),
        "network": params.get("network_id"),
        "availability_zone": params.get("availability_zone"),
        "boot_volume": "true" if params.get("boot_volume_id") else "",
    }
    return f"{reverse('vm-new')}?{urlencode({key: value for key, value in values.items() if value})}"


def _read_form(sent: Mapping[str, Any]) -> dict[str, str]:
    """Read the form, or the query of a link to it (`?image=` is a snapshot to create a VM from)."""
    entered = {name: str(sent.get(name, initial)) for name, initial in INITIAL_VALUES.items()}
    if not entered["boot"] and sent.get("image"):
        entered["boot"] = f"image:{sent['image']}"
    if any("\x00" in text for text in entered.values()):
        raise BadRequest
    return entered


def _apply_snapshot(scope: Scope, entered: dict[str, str], *, is_submitted: bool) -> None:
    """Set the boot volume for a snapshot of a volume-booted VM, at least as large as the snapshot needs.

    The size is raised while the form is being filled in; a submitted form is not changed without the user's knowledge.
    """
    kind, _colon, image_id = entered["boot"].partition(":")
    snapshots = VMSnapshot.objects.within(scope).exclude(volume_snapshots=[])
    snapshot = snapshots.filter(image_id=image_id).first() if kind == "image" else None
    if snapshot is None:
        return
    entered["boot_volume"] = "true"
    disk = entered["disk_gb"]
    if not is_submitted and (not disk.isdecimal() or int(disk[:9]) < snapshot.min_disk_gb):
        entered["disk_gb"] = str(snapshot.min_disk_gb)


def _create(scope: Scope, entered: Mapping[str, str], choices: Choices, *, dry_run: bool) -> CreationResult:
    """Call the service. Raises what `create_vm` raises, with the errors of the form's own fields as well."""
    data = _api_params(entered, choices)
    params, errors = split_validation(NewVmSerializer(data=data))
    params.pop("dry_run", None)
    count = params.pop("count", None)
    _tags, tag_errors = parse_key_values(entered["tags"])
    if tag_errors:
        errors["tags"] = tag_errors
    if entered["flavor"] and choices.flavor is None:
        errors["flavor"] = [_("Flavor not found.")]
    elif choices.flavor and choices.flavor.needs_boot_volume and not entered["boot_volume"]:
        errors["flavor"] = [_("This flavor has no disk. Boot from a volume and enter its size.")]
    errors |= find_network_errors(entered)
    if not data.keys() & {"image", "os_type"}:
        errors["image"] = [_("Select an image or snapshot.")]
    return create_vm(scope=scope, params=params, errors=errors, dry_run=dry_run, count=count)


def _plan(
    scope: Scope, entered: Mapping[str, str], choices: Choices
) -> tuple[CreationResult | None, list[str]]:
    """Return what the form would create; None, with the reasons, as long as it is not complete."""
    try:
        return _create(scope, entered, choices, dry_run=True), []
    except InvalidFieldsError as refused:
        texts = [text for found in errors_by_field(refused).values() for text in found]
        return None, list(dict.fromkeys(map(str, texts)))
    except DomainError as refused:
        return None, [str(refused.detail)]


def _estimate_needs(vms: Sequence[VirtualMachine], size: Size | None, entered: Mapping[str, str]) -> Needs:
    """Return what the VMs would add to the use of the quota, as far as the form says it."""
    if vms:
        return Needs(
            len(vms),
            sum(vm.cpu_cores for vm in vms),
            sum(vm.memory_gb for vm in vms),
            sum(vm.disk_gb for vm in vms),
        )
    count = min(MAX_COUNT, int(entered["count"])) if is_figure(entered["count"]) else 1
    if size is None:
        return Needs(count)
    disk = (
        int(entered["disk_gb"]) if entered["boot_volume"] and is_figure(entered["disk_gb"]) else size.disk_gb
    )
    return Needs(count, count * size.cpu_cores, count * size.memory_gb, count * disk)


def _api_params(entered: Mapping[str, str], choices: Choices) -> dict[str, Any]:
    """Return the form as the API's parameters. One VM is no count, so that its name has no number unless it says so."""
    data = filled_fields(entered, *COPIED_FIELDS) | build_login_data(entered)
    if tags := parse_key_values(entered["tags"])[0]:
        data["tags"] = tags
    if entered["count"].strip() not in {"", "1"} or PLACEHOLDER in entered["name"]:
        data["count"] = entered["count"].strip() or "1"
    if choices.flavor:
        data.update(cpu_cores=choices.flavor.cpu_cores, memory_gb=choices.flavor.memory_gb)
        if not entered["boot_volume"]:
            data["disk_gb"] = choices.flavor.disk_gb
    add_network_params(data, entered)
    kind, _colon, value = entered["boot"].partition(":")
    if kind == "os":
        os_type, _bar, os_version = value.partition("|")
        data.update(os_type=os_type, os_version=os_version)
    elif kind == "image":
        data["image"] = value
    return data


def _render_form(
    request: PageRequest,
    scope: Scope,
    entered: dict[str, str],
    choices: Choices,
    *,
    errors: Mapping[str, Any] | None = None,
    planned: CreationResult | None = None,
    status: int = 200,
) -> HttpResponse:
    system: InformationSystem = choices.system
    problems: list[str] = []
    if planned is None and not errors:
        planned, problems = _plan(scope, entered, choices)
    vm = planned.vm if planned else None
    size = choices.flavor or find_smallest(choices.sizes, entered)
    if choices.flavor:
        entered.update(cpu_cores=str(choices.flavor.cpu_cores), memory_gb=str(choices.flavor.memory_gb))
        if not entered["boot_volume"]:
            entered["disk_gb"] = str(choices.flavor.disk_gb)
    template = "vms/new_form.html" if request.htmx else "vms/new.html"
    shown_errors = {**choices.missing, **(errors or {})}
    context = {
        "scope": scope,
        "entered": entered,
        # A selection that is still missing is no error, but its message is shown in the same place.
        "errors": shown_errors,
        "boot_errors": [
            text for name in ("image", "os_type", "os_version") for text in shown_errors.get(name, [])
        ],
        "problems": problems if "reload" in request.POST else [],
        "chosen_size": size,
        "choices": choices,
        "system": system,
        "systems": InformationSystem.objects.within(scope).select_related("tenant").order_by("name"),
        "data_center_types": VirtualMachine.DataCenterType.choices,
        "usage": build_quota_lines(
            measure_usage(system.tenant), _estimate_needs(planned.vms if planned else [], size, entered)
        ),
        "planned": vm,
        "planned_names": [one.name for one in planned.vms] if planned else [],
        "max_count": MAX_COUNT,
        **build_network_choices(choices, entered),
        "network": planned and planned.network,
        **build_login_context(scope, system, entered),
    }
    return render(request, template, context, status=status)
