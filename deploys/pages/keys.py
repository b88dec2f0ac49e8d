"""Deploy keys: which key a tenant has, a new key, and its removal. No private key is ever shown."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from api.domain_errors import DomainError, InvalidFieldsError
from api.form_errors import show_error, validate_form
from api.page_addresses import require_POST
from pages.lists import read_list_query
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope, require_tenant

from ..models import DeployKey
from ..serializers import NewKeySerializer
from ..services import keys
from .forms import FormField, FormPage, FormSection, run_form

GENERATED, OWN = "generated", "own"


@login_required
@never_cache
@require_GET
def deploy_key_page(request: PageRequest) -> HttpResponse:
    """Show the keys of the scope's tenants: each tenant has one at most."""
    scope = page_scope(request)
    query = read_list_query(request)
    found = DeployKey.objects.within(scope).select_related("tenant", "updated_by")
    if query.search:
        found = found.filter(tenant__name__icontains=query.search)
    page = query.paginate(found.order_by("tenant__name", "pk"))
    context = {
        "scope": scope,
        "page": page,
        "query": query,
        "rows": [(key, keys.describe_key(key)) for key in page.object_list],
        "may_administer": scope.tenant is not None and scope.allows(Role.ADMIN, DeployKey),
    }
    return render(request, "deploys/keys.html", context)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def new_deploy_key_page(request: PageRequest) -> HttpResponse:
    """Show the form of a new key; on POST, generate or store it, or show every error."""
    scope = page_scope(request)
    scope.require(Role.ADMIN, DeployKey)
    if scope.tenant is None:
        messages.error(request, _("Select a tenant first: a deploy key belongs to one."))
        return redirect("deploy-key-page")
    current = keys.read_key_status(scope)
    page = _build_page(current)

    def store(entered: dict[str, str]) -> HttpResponse:
        _store_key(scope, entered, current)
        messages.success(
            request, _("The deploy key was stored. Add its public key to the authorized_keys of the hosts.")
        )
        return redirect("deploy-key-page")

    return run_form(request, scope, page, store)


@login_required
@require_POST
def remove_deploy_key_page(request: PageRequest) -> HttpResponse:
    """Remove the tenant's key, if the tenant's name was typed."""
    scope = page_scope(request)
    try:
        scope.require(Role.ADMIN, DeployKey)
        tenant = require_tenant(scope)
        if request.POST.get("confirm_name", "").strip() != tenant.name:
            messages.error(
                request,
                _("The deploy key was not removed: type the tenant's name, %(name)s.")
                % {"name": tenant.name},
            )
        else:
            keys.remove_key(scope=scope)
            messages.success(request, _("The deploy key was removed."))
    except DomainError as refused:
        show_error(request, refused)
    return redirect("deploy-key-page")


def _build_page(current: keys.KeyStatus) -> FormPage:
    fields = [
        FormField(
            "source",
            _("Key pair"),
            "select",
            choices=[
                (GENERATED, _("Generate a new key pair (Ed25519)")),
                (OWN, _("Use an existing private key")),
            ],
            hint=_("A generated private key never leaves the portal."),
            is_wide=True,
        ),
        FormField(
            "private_key",
            _("Private key"),
            "secret",
            max_length=20_000,
            is_wide=True,
            placeholder="-----BEGIN OPENSSH PRIVATE KEY-----",
            hint=_(
                "Only for an existing key: in OpenSSH's format, without a passphrase. It is stored encrypted and never shown."
            ),
        ),
    ]
    if current.is_set:
        fields.append(
            FormField(
                "replace",
                _("Replace the current key, %(fingerprint)s") % {"fingerprint": current.fingerprint or "—"},
                "checkbox",
                is_wide=True,
                hint=_(
                    "The current private key is lost, and hosts that know only this key can no longer be deployed to."
                ),
            )
        )
    title = _("Replace deploy key") if current.is_set else _("Create deploy key")
    return FormPage(
        title=title,
        submit=title,
        back=reverse("deploy-key-page"),
        crumbs=[(reverse("deploy-key-page"), _("Deploy keys"))],
        intro=_("With this SSH key, the portal connects to the hosts of the tenant."),
        sections=[FormSection(_("Deploy key"), fields)],
        values={"source": GENERATED},
    )


def _store_key(scope: Scope, entered: dict[str, str], current: keys.KeyStatus) -> None:
    """Generate or store the key. Raises `InvalidFieldsError` with the errors of every field."""
    errors: dict[str, list[str]] = {}
    source, text = entered["source"], entered["private_key"]
    if source not in {GENERATED, OWN}:
        errors["source"] = [_("Select a value")]
    if source == GENERATED and text.strip():
        errors["private_key"] = [_("Leave the private key empty to have one generated, or select to use it.")]
    if source == OWN:
        try:
            validate_form(NewKeySerializer(data={"private_key": text}))
        except InvalidFieldsError as refused:
            errors |= refused.errors or {}
        else:
            if problems := keys.validate_key(text):
                errors["private_key"] = problems
    if current.is_set and entered.get("replace") != "true":
        errors["replace"] = [_("Confirm that the current key is replaced.")]
    if errors:
        raise InvalidFieldsError(errors)
    if source == OWN:
        keys.set_key(scope=scope, private_key=text)
    else:
        keys.generate_key(scope=scope)
