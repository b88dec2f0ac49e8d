"""Register, change and remove hosts."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from api.domain_errors import DomainError
from api.form_errors import show_error
from api.page_addresses import require_POST
from api.preconditions import etag_of
from tenants.models import Tenant
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role
from vms.models import VirtualMachine

from ..models import Host
from ..serializers import HostSerializer
from ..services import hosts
from .forms import FormField, FormPage, FormSection, run_form, validate

VMS_SUGGESTED = 200
# Left out of the data when they are empty: those of the VM then, or the model's default.
OPTIONAL_FIELDS = ("hostname", "ip", "ssh_port", "user")


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def new_host_page(request: PageRequest) -> HttpResponse:
    """Show the form of a new host; on POST, register it, or show every error."""
    scope = page_scope(request)
    scope.require(Role.ADMIN, Host)
    if (tenant := scope.tenant) is None:
        messages.error(request, _("Select a tenant first: a host belongs to one."))
        return redirect("host-page")
    page = FormPage(
        title=_("Register host"),
        submit=_("Register host"),
        back=reverse("host-page"),
        crumbs=[(reverse("host-page"), _("Hosts"))],
        intro=_("Services are deployed to hosts over SSH, with the deploy key of the tenant."),
        sections=_build_sections(tenant, is_new=True),
        values={"ssh_port": "22", "user": "deploy", "vm": request.GET.get("vm", "")[:200]},
    )

    def create(entered: dict[str, str]) -> HttpResponse:
        host = hosts.create_host(scope=scope, fields=_validate(entered, tenant, None))
        messages.success(request, _("Host %(name)s was registered.") % {"name": host.hostname})
        return redirect("host-detail-page", host.pk)

    return run_form(request, scope, page, create)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def edit_host_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show the form of a host; on POST, change the host, or show every error."""
    scope = page_scope(request)
    host = hosts.visible_host(scope, pk, Role.ADMIN)
    back = reverse("host-detail-page", args=[pk])
    page = FormPage(
        title=_("Edit host %(name)s") % {"name": host.hostname},
        submit=_("Save changes"),
        back=back,
        crumbs=[(reverse("host-page"), _("Hosts")), (back, host.hostname)],
        sections=_build_sections(host.tenant, is_new=False),
        values={
            "vm": host.vm.name if host.vm else "",
            "hostname": host.hostname,
            "ip": str(host.ip),
            "ssh_port": str(host.ssh_port),
            "user": host.user,
            "known_hosts": host.known_hosts,
        },
        version=etag_of(host.version),
    )

    def change(entered: dict[str, str]) -> HttpResponse:
        hosts.change_host(
            scope=scope,
            host_id=pk,
            fields=_validate(entered, host.tenant, host),
            if_match=request.POST.get("version") or None,
        )
        messages.success(request, _("Changes saved."))
        return redirect(back)

    return run_form(request, scope, page, change)


@login_required
@require_POST
def remove_host_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Remove a host without instances."""
    scope = page_scope(request)
    host = hosts.visible_host(scope, pk)
    try:
        hosts.remove_host(scope=scope, host_id=pk, if_match=request.POST.get("version") or None)
    except DomainError as refused:
        show_error(request, refused)
        return redirect("host-detail-page", pk)
    messages.success(request, _("Host %(name)s was removed.") % {"name": host.hostname})
    return redirect("host-page")


def _build_sections(tenant: Tenant, *, is_new: bool) -> list[FormSection]:
    vms = VirtualMachine.objects.for_tenant(tenant).outside_bin().order_by("name")
    names = list(vms.values_list("name", flat=True)[:VMS_SUGGESTED])
    of_vm = _("Leave empty to use that of the VM.") if is_new else ""
    return [
        FormSection(
            _("Host"),
            [
                FormField(
                    "vm",
                    _("Virtual machine"),
                    max_length=255,
                    suggestions=names,
                    hint=_("The name of the VM, if the portal manages it. Otherwise leave it empty."),
                ),
                FormField("hostname", _("Host name"), max_length=128, required=not is_new, hint=of_vm),
                FormField("ip", _("IP address"), max_length=45, required=not is_new, hint=of_vm),
            ],
        ),
        FormSection(
            _("SSH"),
            [
                FormField("user", _("User"), max_length=33, required=True),
                FormField("ssh_port", _("Port"), "number", minimum=1, maximum=65535, required=True),
                FormField(
                    "known_hosts",
                    _("Host keys"),
                    "code",
                    max_length=10000,
                    is_wide=True,
                    hint=_(
                        "The public keys of the host, as ssh-keyscan prints them. A host that shows another key is refused."
                    ),
                ),
            ],
        ),
    ]


def _validate(entered: dict[str, str], tenant: Tenant, host: Host | None) -> dict[str, Any]:
    """Return the fields for the service. Raises `InvalidFieldsError` with the errors of every field."""
    data: dict[str, Any] = {name: value for name, value in entered.items() if name != "vm"}
    for name in OPTIONAL_FIELDS:
        if not data[name].strip() and host is None:
            del data[name]
    vm_id, vm_error = _find_vm(tenant, entered["vm"].strip(), host)
    data["vm"] = vm_id
    errors = {"vm": [vm_error]} if vm_error else {}
    return validate(HostSerializer(host, data=data, partial=host is not None), errors)


def _find_vm(tenant: Tenant, text: str, host: Host | None) -> tuple[str | None, str]:
    """Return the id of the VM that a name or an id means, or why there is none."""
    if not text:
        return None, ""
    if host is not None and host.vm is not None and host.vm.name == text:
        return str(host.vm_id), ""
    vms = VirtualMachine.objects.for_tenant(tenant).outside_bin()
    found = list(vms.filter(name=text).values_list("pk", flat=True)[:2])
    if not found:
        try:
            found = list(vms.filter(pk=UUID(text)).values_list("pk", flat=True))
        except ValueError:
            found = []
    if not found:
        return None, _("There is no VM with this name.")
    if len(found) > 1:
        return None, _("Several VMs have this name. Enter the ID of the VM.")
    return str(found[0]), ""
