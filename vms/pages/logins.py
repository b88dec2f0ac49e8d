"""How people log in to VMs: the fields of the form for a new VM, the tab of a VM's page, and its passwords."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from api.domain_errors import DomainError, NotFoundError
from api.errors import status_of
from api.form_errors import show_error
from api.form_keys import new_form_key
from api.idempotency import claim_key
from api.page_addresses import require_POST
from pages.dialogs import render_dialog
from pages.panels import render_messages
from tasks.models import EntityLock
from tenants.models import InformationSystem, User
from tenants.page_forms import split_errors
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope

from ..models import SSHKey, UserDataTemplate, VirtualMachine, VMLogin
from ..services import passwords, user_data_templates
from ..services.logins import has_deploy_key, list_usable_keys, read_login

KEY_LENGTH = 32
# The fields of the form for a new VM, with their initial values. `ssh_keys` are ids, joined by commas.
LOGIN_VALUES = {
    "ssh_keys": "",
    "user_data": "",
    "config_drive": "",
    "deploy_key": "",
    "register_host": "",
}
COPIED_LOGIN_FIELDS = ("user_data", "config_drive", "deploy_key", "register_host")


def read_login_form(user: Any, sent: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields by which people log in, as they were entered. A form that was not shown yet has the user's own keys."""
    entered = {name: str(sent.get(name, initial)) for name, initial in LOGIN_VALUES.items()}
    # Browsers send line breaks as CR LF, with which a script would not run.
    entered["user_data"] = entered["user_data"].replace("\r\n", "\n")
    if "has_login_fields" not in sent:
        own = SSHKey.objects.filter(user=cast("User", user)).order_by("name", "pk")
        entered["ssh_keys"] = ",".join(str(pk) for pk in own.values_list("pk", flat=True)[:20])
    elif isinstance(sent, QueryDict):
        entered["ssh_keys"] = ",".join(sent.getlist("ssh_keys"))
    return entered


def apply_template(scope: Scope, entered: dict[str, str], template_id: str) -> None:
    """Put the text of a template into the form. Raises `NotFoundError`, 403."""
    try:
        pk = UUID(template_id)
    except ValueError:
        raise NotFoundError from None
    _template, entered["user_data"] = user_data_templates.read_template(scope=scope, template_id=pk)


def build_login_data(entered: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields as the API's parameters."""
    data: dict[str, Any] = {name: entered[name] for name in COPIED_LOGIN_FIELDS if entered[name]}
    if entered["ssh_keys"]:
        data["ssh_keys"] = entered["ssh_keys"].split(",")
    return data


def build_login_context(
    scope: Scope, system: InformationSystem, entered: Mapping[str, str]
) -> dict[str, Any]:
    """Return the choices of the form for a new VM."""
    chosen = set(entered["ssh_keys"].split(","))
    templates = UserDataTemplate.objects.for_tenant(system.tenant).defer("encrypted_text").order_by("name")
    return {
        "login_keys": [(key, str(key.pk) in chosen) for key in list_usable_keys(system.tenant, scope.user)],
        "user_data_templates": templates,
        "has_deploy_key": has_deploy_key(system.tenant),
    }


def build_access_context(request: PageRequest, scope: Scope, vm: VirtualMachine) -> dict[str, Any]:
    """Return the context of the tab: what the VM was given, and the password that it has reported."""
    login = VMLogin.objects.filter(vm=vm).first()
    may_log_in = scope.allows(Role.OPERATOR, VirtualMachine)
    lock = EntityLock.objects.filter(key=f"vm-password:{vm.pk}").select_related("job").first()
    return {
        "login": login,
        "may_read_user_data": scope.allows(Role.ADMIN, VirtualMachine),
        "may_log_in": may_log_in,
        "reported": passwords.last_password(scope=scope, vm=vm) if may_log_in else None,
        "password_job": lock.job if lock else None,
        **({"is_busy": True} if lock else {}),
    }


@login_required
@never_cache
@require_GET
def user_data_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show the user data of a VM to an administrator."""
    scope = page_scope(request)
    vm = get_object_or_404(VirtualMachine.objects.within(scope), pk=pk)
    _login, text = read_login(scope=scope, vm=vm)
    context = {
        "scope": scope,
        "title": _("User data of %(name)s") % {"name": vm.name},
        "vm": vm,
        "text": text,
    }
    return render_dialog(request, "vms/user_data.html", context)


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def reset_password_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Ask whether a new password is to be set; on POST, submit the job and show the password, this once."""
    scope = page_scope(request)
    vm = get_object_or_404(VirtualMachine.objects.within(scope), pk=pk)
    scope.require(Role.OPERATOR, VirtualMachine)
    context: dict[str, Any] = {
        "scope": scope,
        "vm": vm,
        "title": _("Reset password of %(name)s") % {"name": vm.name},
        "list_page": f"{reverse('vm-detail-page', args=[pk])}?tab=access",
    }
    refused: DomainError | None = None
    if request.method == "POST":
        try:
            # The form has a key of its own kind: the answer is no redirect, because the password is stored nowhere.
            with transaction.atomic():
                key = request.POST.get("password_key", "")[:KEY_LENGTH].replace("\x00", "")
                if key and claim_key(request.user, f"password:{key}", "") is None:
                    messages.warning(
                        request,
                        _("The password was already reset and shown once. Reset it again if it was lost."),
                    )
                    return redirect(context["list_page"])
                _vm, job, password = passwords.reset_password(scope=scope, vm_id=pk)
        except DomainError as error:
            refused = error
        else:
            return render_dialog(
                request, "vms/password_created.html", {**context, "password": password, "job": job}
            )
    context |= {"password_key": new_form_key(), **split_errors(refused, ())}
    return render_dialog(
        request, "vms/password_form.html", context, status=status_of(refused) if refused else 200
    )


@login_required
@require_POST
def read_password_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Read the password that the VM has reported, or clear it in the cloud and here."""
    try:
        passwords.read_password(
            scope=page_scope(request), vm_id=pk, clear=request.POST.get("password") == "clear"
        )
    except DomainError as refused:
        show_error(request, refused)
    if request.htmx:
        return render_messages(request)
    return redirect(f"{reverse('vm-detail-page', args=[pk])}?tab=access")
