"""Register, change and remove versions of a service."""

from __future__ import annotations

from collections.abc import Sequence
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
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope

from ..models import MicroService, MicroServiceVersion
from ..serializers import ChangeVersionSerializer, VersionSerializer
from ..services import catalogue
from .forms import FormField, FormPage, FormSection, run_form, validate

Status = MicroServiceVersion.BuildStatus


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def new_version_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show the form of a new version; on POST, register it, or show every error."""
    scope = page_scope(request)
    service = catalogue.visible_service(scope, pk, Role.OPERATOR)
    label = FormField(
        "label",
        _("Version"),
        required=True,
        max_length=128,
        placeholder="1.4.2",
        hint=_("The order of registration decides which version is newer, whatever the label says."),
    )
    page = _build_page(
        service,
        title=_("Register version of %(name)s") % {"name": service.name},
        submit=_("Register version"),
        fields=[label, *_build_fields(Status.choices)],
        values={"build_status": Status.SUCCESS.value},
    )

    def register(entered: dict[str, str]) -> HttpResponse:
        fields = validate(VersionSerializer(data=entered, context={"scope": scope}))
        version, is_new = catalogue.register_version(scope=scope, service_id=pk, fields=fields)
        if is_new:
            messages.success(request, _("Version %(label)s was registered.") % {"label": version.label})
        else:
            text = _("Version %(label)s was registered before, with the same content.")
            messages.info(request, text % {"label": version.label})
        return redirect("service-versions-page", pk)

    return run_form(request, scope, page, register)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def edit_version_page(request: PageRequest, pk: UUID, version_pk: UUID) -> HttpResponse:
    """Show the form of a version; on POST, change its build status, artifact and notes, or show every error."""
    scope = page_scope(request)
    service = catalogue.visible_service(scope, pk, Role.OPERATOR)
    version = catalogue.visible_version(scope, pk, version_pk, Role.OPERATOR)
    page = _build_edit_page(scope, service, version)

    def change(entered: dict[str, str]) -> HttpResponse:
        fields = validate(ChangeVersionSerializer(version, data=entered, partial=True))
        catalogue.change_version(scope=scope, service_id=pk, version_id=version_pk, fields=fields)
        messages.success(request, _("Changes saved."))
        return redirect("service-versions-page", pk)

    return run_form(request, scope, page, change, template="deploys/version_form.html")


@login_required
@require_POST
def remove_version_page(request: PageRequest, pk: UUID, version_pk: UUID) -> HttpResponse:
    """Remove a version that is on no host and in no deployment."""
    scope = page_scope(request)
    version = catalogue.visible_version(scope, pk, version_pk)
    try:
        catalogue.remove_version(scope=scope, service_id=pk, version_id=version_pk)
    except DomainError as refused:
        show_error(request, refused)
    else:
        messages.success(request, _("Version %(label)s was removed.") % {"label": version.label})
    return redirect("service-versions-page", pk)


def _build_edit_page(scope: Scope, service: MicroService, version: MicroServiceVersion) -> FormPage:
    allowed = {version.build_status, *catalogue.NEXT_BUILD_STATUSES.get(version.build_status, [])}
    return _build_page(
        service,
        title=_("Edit version %(label)s of %(name)s") % {"label": version.label, "name": service.name},
        submit=_("Save changes"),
        fields=_build_fields([(value, label) for value, label in Status.choices if value in allowed]),
        values={
            "build_status": version.build_status,
            "artifact_url": version.artifact_url,
            "sha256": version.sha256,
            "notes": version.notes,
        },
        extra={
            "remove_url": reverse("version-remove", args=[service.pk, version.pk])
            if scope.allows(Role.ADMIN, MicroServiceVersion)
            else "",
            "name": version.label,
        },
    )


def _build_page(
    service: MicroService,
    *,
    title: str,
    submit: str,
    fields: Sequence[FormField],
    values: dict[str, str],
    extra: dict[str, str] | None = None,
) -> FormPage:
    back = reverse("service-versions-page", args=[service.pk])
    return FormPage(
        title=title,
        submit=submit,
        back=back,
        crumbs=[(reverse("service-page"), _("Services")), (back, service.name)],
        sections=[FormSection(_("Version"), fields)],
        values=values,
        extra=extra or {},
    )


def _build_fields(statuses: Sequence[tuple[str, Any]]) -> list[FormField]:
    return [
        FormField(
            "build_status",
            _("Build status"),
            "select",
            choices=statuses,
            hint=_("Only built versions can be deployed."),
        ),
        FormField(
            "artifact_url",
            _("Artifact URL"),
            max_length=2000,
            is_wide=True,
            placeholder="https://artifacts.example.org/checkout-1.4.2.tar.gz",
            hint=_("The address of a .tar.gz. Viewers do not see it, as it may contain a signature."),
        ),
        FormField(
            "sha256",
            _("SHA-256 checksum"),
            max_length=64,
            is_wide=True,
            hint=_("64 hexadecimal digits, in lower case. It can't change once the version was deployed."),
        ),
        FormField("notes", _("Notes"), "textarea", max_length=10000, is_wide=True),
    ]
