"""Create, change and remove services."""

from __future__ import annotations

import json
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
from pages.key_values import format_key_values, parse_key_values
from tenants.application_choices import list_application_choices
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope

from ..executors import find_executor_class, list_executor_names
from ..models import MicroService
from ..serializers import ServiceSerializer
from ..services import catalogue
from .forms import FormField, FormPage, FormSection, run_form, validate

APPLICATIONS_OFFERED = 500
# Numbers that a form may leave empty: the model's default then, or no value.
OPTIONAL_NUMBERS = frozenset({"health_status", "health_seconds"})
INITIAL_VALUES = {"health_status": "200", "health_seconds": "60", "executor_settings": "{}"}


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def new_service_page(request: PageRequest) -> HttpResponse:
    """Show the form of a new service; on POST, create it, or show every error."""
    scope = page_scope(request)
    scope.require(Role.ADMIN, MicroService)
    page = FormPage(
        title=_("Create service"),
        submit=_("Create service"),
        back=reverse("service-page"),
        crumbs=[(reverse("service-page"), _("Services"))],
        intro=_("A service runs in one version on each of its hosts. Add its versions and hosts afterwards."),
        sections=_build_sections(scope),
        values={**INITIAL_VALUES, "executor": next(iter(list_executor_names()), "")},
    )

    def create(entered: dict[str, str]) -> HttpResponse:
        service = catalogue.create_service(scope=scope, fields=_validate(entered, None))
        messages.success(request, _("Service %(name)s was created.") % {"name": service.name})
        return redirect("service-detail-page", service.pk)

    return run_form(request, scope, page, create)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def edit_service_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show the form of a service; on POST, change the service, or show every error."""
    scope = page_scope(request)
    service = catalogue.visible_service(scope, pk, Role.ADMIN)
    back = reverse("service-settings-page", args=[pk])
    page = FormPage(
        title=_("Edit service %(name)s") % {"name": service.name},
        submit=_("Save changes"),
        back=back,
        crumbs=[(reverse("service-page"), _("Services")), (back, service.name)],
        sections=_build_sections(scope, service),
        values=_read_values(service),
        version=etag_of(service.version),
    )

    def change(entered: dict[str, str]) -> HttpResponse:
        catalogue.change_service(
            scope=scope,
            service_id=pk,
            fields=_validate(entered, service),
            if_match=request.POST.get("version") or None,
        )
        messages.success(request, _("Changes saved."))
        return redirect(back)

    return run_form(request, scope, page, change)


@login_required
@require_POST
def remove_service_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Remove a service whose name was typed."""
    scope = page_scope(request)
    service = catalogue.visible_service(scope, pk, Role.ADMIN)
    if request.POST.get("confirm_name", "").strip() != service.name:
        messages.error(
            request, _("The service was not removed: type its name, %(name)s.") % {"name": service.name}
        )
        return redirect("service-settings-page", pk)
    try:
        catalogue.remove_service(scope=scope, service_id=pk, if_match=None)
    except DomainError as refused:
        show_error(request, refused)
        return redirect("service-settings-page", pk)
    messages.success(request, _("Service %(name)s was removed.") % {"name": service.name})
    return redirect("service-page")


def list_executor_choices() -> list[tuple[str, Any]]:
    """Return the deploy methods with their labels."""
    return [(name, find_executor_class(name).label) for name in list_executor_names()]


def _build_sections(scope: Scope, service: MicroService | None = None) -> list[FormSection]:
    # A service stays with its tenant.
    tenant = service.information_system.tenant if service is not None else None
    choices = list_application_choices(scope, tenant=tenant, limit=APPLICATIONS_OFFERED)
    return [
        FormSection(
            _("Basics"),
            [
                FormField(
                    "information_system",
                    _("Application"),
                    "select",
                    choices=[("", _("Select an application")), *choices],
                    hint="" if choices else _("The tenant has no application yet."),
                    required=True,
                ),
                FormField("name", _("Name"), required=True, max_length=100, placeholder="checkout"),
                FormField("language", _("Language"), max_length=50, placeholder="Go"),
                FormField("repository", _("Repository"), max_length=500, is_wide=True),
                FormField("description", _("Description"), "textarea", max_length=2000, is_wide=True),
                FormField("tags", _("Tags"), "code", is_wide=True, hint=_("One key=value per line")),
            ],
        ),
        FormSection(
            _("On the hosts"),
            [
                FormField(
                    "folder",
                    _("Install path"),
                    required=True,
                    max_length=500,
                    placeholder="/srv/checkout",
                    hint=_("Used by this service only; its releases are stored there."),
                ),
                FormField("port", _("Port"), "number", required=True, minimum=1, maximum=65535),
            ],
        ),
        FormSection(
            _("Health check"),
            [
                FormField(
                    "health_path",
                    _("Path"),
                    max_length=500,
                    placeholder="/health",
                    hint=_("Leave empty for no check: a version is healthy once it has restarted."),
                ),
                FormField(
                    "health_port",
                    _("Port"),
                    "number",
                    minimum=1,
                    maximum=65535,
                    hint=_("Leave empty to use the instance's port."),
                ),
                FormField("health_status", _("Expected status"), "number", minimum=100, maximum=599),
                FormField("health_seconds", _("Timeout"), "number", unit=_("s"), minimum=1, maximum=60),
                FormField(
                    "health_contains",
                    _("Expected response text"),
                    max_length=200,
                    is_wide=True,
                    hint=_(
                        "{version} is replaced by the label, so that an old process that still answers is not taken for the new one."
                    ),
                ),
            ],
        ),
        FormSection(
            _("Deployment"),
            [
                FormField(
                    "executor", _("Deploy method"), "select", choices=list_executor_choices(), required=True
                ),
                FormField(
                    "executor_settings",
                    _("Settings of the deploy method"),
                    "code",
                    is_wide=True,
                    hint=_('Names and values as JSON, such as {"unit": "checkout.service"}.'),
                ),
            ],
        ),
    ]


def _read_values(service: MicroService) -> dict[str, str]:
    """Return the current values as texts of the form."""
    names = [name for name, field in ServiceSerializer().fields.items() if not field.read_only]
    values = {name: getattr(service, name) for name in names if name not in {"executor_settings", "tags"}}
    texts = {name: "" if value is None else str(value) for name, value in values.items()}
    texts["information_system"] = str(service.information_system_id)
    texts["tags"] = format_key_values(service.tags)
    texts["executor_settings"] = json.dumps(service.executor_settings, ensure_ascii=False, indent=2)
    return texts


def _validate(entered: dict[str, str], service: MicroService | None) -> dict[str, Any]:
    """Return the fields for the service. Raises `InvalidFieldsError` with the errors of every field."""
    data: dict[str, Any] = {
        name: value for name, value in entered.items() if value.strip() or name not in OPTIONAL_NUMBERS
    }
    data["health_port"] = entered["health_port"].strip() or None
    data["tags"], tag_errors = parse_key_values(entered["tags"])
    errors = {"tags": tag_errors} if tag_errors else {}
    try:
        data["executor_settings"] = json.loads(
            entered["executor_settings"].strip() or "{}", parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError):
        errors["executor_settings"] = [_("This is not valid JSON.")]
        data["executor_settings"] = {}
    return validate(ServiceSerializer(service, data=data, partial=service is not None), errors)


def _refuse_constant(name: str) -> None:
    """Refuse NaN and Infinity, which Python reads and JSON does not have."""
    raise ValueError(name)
