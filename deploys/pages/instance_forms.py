"""Add a service to hosts, change its instances, put them under maintenance, and remove them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from api.domain_errors import DomainError, InvalidFieldsError
from api.form_errors import show_error
from api.page_addresses import find_current_page, require_POST
from api.preconditions import etag_of
from pages.panels import render_messages
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope

from ..models import Host, MicroService, MicroServiceVersion
from ..serializers import ChangeInstanceSerializer, NewInstanceSerializer
from ..services import catalogue, instances
from .forms import FormField, FormPage, FormSection, run_form, validate

HOSTS_OFFERED, VERSIONS_OFFERED = 500, 100
# Any id: the hosts are validated by themselves.
NO_HOST = UUID(int=0)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def new_instances_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show the form that adds a service to hosts; on POST, add it to all of them, or show every error."""
    scope = page_scope(request)
    service = catalogue.visible_service(scope, pk, Role.ADMIN)
    page = _build_new_page(service)

    def add(entered: dict[str, str]) -> HttpResponse:
        count = _add_to_hosts(scope, service, entered, frozenset(request.POST.getlist("hosts")))
        text = ngettext(
            "The service was added to %(count)s host.", "The service was added to %(count)s hosts.", count
        )
        messages.success(request, text % {"count": count})
        return redirect("service-detail-page", pk)

    return run_form(request, scope, page, add)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def edit_instance_page(request: PageRequest, pk: UUID, instance_pk: UUID) -> HttpResponse:
    """Show the form of an instance; on POST, change the instance, or show every error."""
    scope = page_scope(request)
    instance = instances.visible_instance(scope, pk, instance_pk, Role.ADMIN)
    service = catalogue.visible_service(scope, pk)
    back = reverse("service-detail-page", args=[pk])
    page = FormPage(
        title=_("Edit %(service)s on %(host)s") % {"service": service.name, "host": instance.host.hostname},
        submit=_("Save changes"),
        back=back,
        crumbs=[(reverse("service-page"), _("Services")), (back, service.name)],
        sections=[FormSection(_("Instance"), _build_fields())],
        values={
            "port": str(instance.port),
            "tag": instance.tag,
            "weight": str(instance.weight),
            "description": instance.description,
        },
        version=etag_of(instance.updated_at),
        extra={
            "remove_url": reverse("instance-remove", args=[pk, instance_pk]),
            "service": service.name,
            "host": instance.host.hostname,
        },
    )

    def change(entered: dict[str, str]) -> HttpResponse:
        fields = validate(ChangeInstanceSerializer(instance, data=entered, partial=True))
        instances.change_instance(
            scope=scope,
            service_id=pk,
            instance_id=instance_pk,
            fields=fields,
            if_match=request.POST.get("version") or None,
        )
        messages.success(request, _("Changes saved."))
        return redirect(back)

    return run_form(request, scope, page, change, template="deploys/instance_form.html")


@login_required
@require_POST
def maintain_instance_page(request: PageRequest, pk: UUID, instance_pk: UUID) -> HttpResponse:
    """Put an instance under maintenance, or end its maintenance."""
    scope = page_scope(request)
    instance = instances.visible_instance(scope, pk, instance_pk)
    is_maintain = request.POST.get("is_maintain") == "true"
    try:
        instances.change_instance(
            scope=scope,
            service_id=pk,
            instance_id=instance_pk,
            fields={"is_maintain": is_maintain},
            if_match=None,
        )
    except DomainError as refused:
        show_error(request, refused)
    else:
        text = (
            _("%(host)s is under maintenance: deployments leave it out.")
            if is_maintain
            else _("The maintenance of %(host)s has ended.")
        )
        messages.success(request, text % {"host": instance.host.hostname})
    if request.htmx:
        return render_messages(request)
    return redirect(find_current_page(request))


@login_required
@require_POST
def remove_instance_page(request: PageRequest, pk: UUID, instance_pk: UUID) -> HttpResponse:
    """Remove the record of an instance. Nothing is done on the host."""
    scope = page_scope(request)
    instance = instances.visible_instance(scope, pk, instance_pk)
    try:
        instances.remove_instance(
            scope=scope, service_id=pk, instance_id=instance_pk, if_match=request.POST.get("version") or None
        )
    except DomainError as refused:
        show_error(request, refused)
    else:
        messages.success(
            request, _("The service was removed from %(host)s.") % {"host": instance.host.hostname}
        )
    return redirect("service-detail-page", pk)


def _build_new_page(service: MicroService) -> FormPage:
    tenant = service.information_system.tenant
    free_hosts = (
        Host.objects.for_tenant(tenant).exclude(instances__service=service).order_by("hostname", "pk")
    )
    hosts = [(str(one.pk), str(one)) for one in free_hosts[: HOSTS_OFFERED + 1]]
    versions = MicroServiceVersion.objects.filter(service=service).order_by("-number")[:VERSIONS_OFFERED]
    back = reverse("service-detail-page", args=[service.pk])
    hints = []
    if not hosts:
        hints.append(_("Every host has the service already, or no host is registered."))
    if len(hosts) > HOSTS_OFFERED:
        hints.append(_("Only the first %(count)s hosts are shown.") % {"count": HOSTS_OFFERED})
    return FormPage(
        title=_("Add hosts to %(name)s") % {"name": service.name},
        submit=_("Add hosts"),
        back=back,
        crumbs=[(reverse("service-page"), _("Services")), (back, service.name)],
        intro=_(
            "Only a record is made: nothing is installed. The next deployment brings its version to the hosts."
        ),
        sections=[
            FormSection(
                _("Hosts"),
                [
                    FormField(
                        "hosts", _("Hosts"), "choices", choices=hosts[:HOSTS_OFFERED], hint=" ".join(hints)
                    )
                ],
            ),
            FormSection(
                _("Instance"),
                [
                    FormField(
                        "version",
                        _("Version"),
                        "select",
                        choices=[
                            ("", _("Select a version")),
                            *((str(one.pk), one.label) for one in versions),
                        ],
                        hint=_("The version that runs on the hosts now."),
                        required=True,
                    ),
                    *_build_fields(),
                ],
            ),
        ],
        values={"port": str(service.port), "weight": "100"},
    )


def _build_fields() -> list[FormField]:
    return [
        FormField("port", _("Port"), "number", minimum=1, maximum=65535, required=True),
        FormField("tag", _("Tag"), max_length=50, placeholder="blue"),
        FormField("weight", _("Weight"), "number", minimum=0, maximum=1000),
        FormField("description", _("Description"), max_length=500, is_wide=True),
    ]


def _add_to_hosts(
    scope: Scope, service: MicroService, entered: dict[str, str], chosen: frozenset[str]
) -> int:
    """Add a service to every chosen host or to none, and return their number. Raises `DomainError`."""
    data: dict[str, Any] = {
        name: value
        for name, value in entered.items()
        if name != "hosts" and (value.strip() or name in {"port", "version"})
    }
    errors: dict[str, list[str]] = {}
    hosts = _find_hosts(service, chosen)
    if not chosen:
        errors["hosts"] = [_("Select at least one host.")]
    elif hosts is None:
        errors["hosts"] = [_("A selected host no longer exists. Select the hosts again.")]
    fields = validate(NewInstanceSerializer(data={**data, "host": str(NO_HOST)}), errors)
    try:
        with transaction.atomic():
            for host_id in hosts or []:
                instances.add_instance(scope=scope, service_id=service.pk, fields={**fields, "host": host_id})
    except DomainError as refused:
        if refused.code in {"host_taken", "folder_taken"}:
            raise InvalidFieldsError({"hosts": [refused.detail]}) from None
        raise
    return len(hosts or [])


def _find_hosts(service: MicroService, chosen: frozenset[str]) -> list[UUID] | None:
    """Return the ids of the chosen hosts of the service's tenant, in their order; None if one is not among them."""
    try:
        ids = {UUID(text) for text in chosen}
    except ValueError:
        return None
    hosts = Host.objects.for_tenant(service.information_system.tenant).filter(pk__in=ids)
    found = list(hosts.order_by("pk").values_list("pk", flat=True))
    return found if len(found) == len(ids) else None
