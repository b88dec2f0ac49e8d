"""The forms on a VM's page that change, resize and delete it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.utils.translation import gettext as _

from api.domain_errors import InvalidFieldsError
from api.form_errors import filled_fields, validate_form
from api.preconditions import etag_of
from tenants.scoped_pages import PageRequest
from tenants.scoping import Role, Scope
from volumepool.models import Volume

from ..models import VirtualMachine
from ..serializers import ChangeVmSerializer, RemovalSerializer, ResizeRequestSerializer
from ..services import change_vm, remove_vm, resize_vm
from .form_choices import fetch_choices
from .vm_forms import vm_form_page


@vm_form_page("change", Role.OPERATOR)
def change_vm_page(request: PageRequest, scope: Scope, vm: VirtualMachine) -> None:
    """Change name, description, environment, start and end date, and metadata, unless the VM was modified since."""
    form = request.POST
    metadata, line_errors = parse_metadata(form.get("metadata", ""))
    serializer = ChangeVmSerializer(
        data={
            "name": form.get("name", ""),
            "description": form.get("description", ""),
            **filled_fields(form, "data_center_type"),
            "runtime_start": form.get("runtime_start") or None,
            "runtime_end": form.get("runtime_end") or None,
            "metadata": metadata,
        }
    )
    if line_errors:
        serializer.is_valid()
        raise InvalidFieldsError({**serializer.errors, "metadata": line_errors})
    fields = validate_form(serializer)
    _vm, job = change_vm(scope=scope, vm_id=vm.pk, fields=fields, if_match=_if_match(request))
    if job is None:
        messages.success(request, _("Changes saved."))


@vm_form_page("resize", Role.ADMIN)
def resize_vm_page(request: PageRequest, scope: Scope, vm: VirtualMachine) -> None:
    """Resize the VM to a flavor, or to the smallest that fits the figures."""
    data: dict[str, Any] = filled_fields(request.POST, "cpu_cores", "memory_gb", "disk_gb")
    boots_from_volume = Volume.objects.filter(vm=vm, is_boot=True).exists()
    if boots_from_volume:
        data.pop("disk_gb", None)
    if flavor_id := request.POST.get("flavor"):
        place = {
            "information_system": str(vm.information_system_id),
            "account": str(vm.account_id),
            "region": vm.region,
            "boot_volume": "true" if boots_from_volume else "",
            "flavor": flavor_id,
        }
        flavor = fetch_choices(scope, place, for_new=False).flavor
        if flavor is None:
            raise InvalidFieldsError({"flavor": [_("Flavor not found.")]})
        data = {"cpu_cores": flavor.cpu_cores, "memory_gb": flavor.memory_gb}
        if not boots_from_volume:
            data["disk_gb"] = flavor.disk_gb
    params = validate_form(ResizeRequestSerializer(data=data))
    resize_vm(scope=scope, vm_id=vm.pk, **params)


@vm_form_page("remove", Role.ADMIN)
def remove_vm_page(request: PageRequest, scope: Scope, vm: VirtualMachine) -> None:
    """Delete the VM if the form repeats its name, so that no single click deletes it."""
    if request.POST.get("name", "").strip() != vm.name:
        raise InvalidFieldsError({"name": [_("Type '%(name)s' to confirm.") % {"name": vm.name}]})
    params = validate_form(RemovalSerializer(data=filled_fields(request.POST, "volumes", "force")))
    remove_vm(scope=scope, vm_id=vm.pk, if_match=_if_match(request), **params)


def _if_match(request: PageRequest) -> str | None:
    """Return the version of the VM that the form was rendered from, as an ETag; None for a form without one."""
    version = request.POST.get("version", "")
    return etag_of(int(version)) if version.isascii() and version.isdigit() and len(version) < 19 else None


def parse_metadata(text: str) -> tuple[dict[str, str], list[str]]:
    """Parse lines of `key=value`; return the metadata, and the errors of invalid lines."""
    metadata: dict[str, str] = {}
    errors = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        name, equals, value = line.partition("=")
        if not equals:
            errors.append(_("Line %(number)s has no '='. Write key=value.") % {"number": number})
        elif name.strip() in metadata:
            errors.append(_("Line %(number)s repeats the key '%(name)s'.") % {"number": number, "name": name})
        metadata[name.strip()] = value.strip()
    return metadata, errors
