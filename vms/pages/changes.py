"""Changing a VM from its page: what people say of it, its size, its end."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.utils.translation import gettext as _

from api.domain_errors import InvalidFieldsError
from api.page_refusals import checked, entered_in
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
    """Change name, description, kind of data center, runtime and metadata, unless somebody else has meanwhile."""
    form = request.POST
    metadata, wrong_lines = _metadata(form.get("metadata", ""))
    asked = ChangeVmSerializer(
        data={
            "name": form.get("name", ""),
            "description": form.get("description", ""),
            **entered_in(form, "data_center_type"),
            "runtime_start": form.get("runtime_start") or None,
            "runtime_end": form.get("runtime_end") or None,
            "metadata": metadata,
        }
    )
    if wrong_lines:
        asked.is_valid()
        raise InvalidFieldsError({**asked.errors, "metadata": wrong_lines})
    fields = checked(asked)
    _vm, job = change_vm(scope=scope, vm_id=vm.pk, fields=fields, if_match=_if_match(request))
    if job is None:
        messages.success(request, _("Saved."))


@vm_form_page("resize", Role.ADMIN)
def resize_vm_page(request: PageRequest, scope: Scope, vm: VirtualMachine) -> None:
    """Give it another size: that of a flavor, or the smallest that has at least so much."""
    data: dict[str, Any] = entered_in(request.POST, "cpu_cores", "memory_gb", "disk_gb")
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
            raise InvalidFieldsError({"flavor": [_("There is no such flavor here.")]})
        data = {"cpu_cores": flavor.cpu_cores, "memory_gb": flavor.memory_gb}
        if not boots_from_volume:
            data["disk_gb"] = flavor.disk_gb
    asked = checked(ResizeRequestSerializer(data=data))
    resize_vm(scope=scope, vm_id=vm.pk, **asked)


@vm_form_page("remove", Role.ADMIN)
def remove_vm_page(request: PageRequest, scope: Scope, vm: VirtualMachine) -> None:
    """Remove it, when its name was typed: a click alone must not."""
    if request.POST.get("name", "").strip() != vm.name:
        raise InvalidFieldsError({"name": [_("Type '%(name)s' to remove it.") % {"name": vm.name}]})
    asked = checked(RemovalSerializer(data=entered_in(request.POST, "volumes", "force")))
    remove_vm(scope=scope, vm_id=vm.pk, if_match=_if_match(request), **asked)


def _if_match(request: PageRequest) -> str | None:
    """The version that the form was made of, as an ETag. A form without one asks for no particular version."""
    version = request.POST.get("version", "")
    return etag_of(int(version)) if version.isascii() and version.isdigit() and len(version) < 19 else None


def _metadata(text: str) -> tuple[dict[str, str], list[str]]:
    """Lines of `name=value`; and what is wrong with those that are none."""
    found: dict[str, str] = {}
    wrong = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        name, equals, value = line.partition("=")
        if not equals:
            wrong.append(_("Line %(number)s has no '='; write name=value.") % {"number": number})
        elif name.strip() in found:
            wrong.append(_("Line %(number)s names '%(name)s' again.") % {"number": number, "name": name})
        found[name.strip()] = value.strip()
    return found, wrong
