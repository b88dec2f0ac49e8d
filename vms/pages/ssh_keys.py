"""Pages of SSH keys: a person's own, in their profile, and the tenant's. The same forms serve both."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods

from api.form_errors import validate_form
from pages.lists import ListQuery, read_list_query
from pages.panels import render_page
from pages.tables import declare_table
from tenants.models import User
from tenants.page_forms import Outcome, run_form
from tenants.scoped_pages import PageRequest, find_scope, page_scope
from tenants.scoping import Role, Scope, get_visible_row

from ..models import SSHKey
from ..serializers import NewSSHKeySerializer, RenameSSHKeySerializer
from ..services import ssh_keys

ORDERINGS = frozenset({"name", "created_at", "last_used_at"})
declare_table(
    "ssh_keys",
    [
        ("tenant", gettext_lazy("Tenant")),
        ("type", gettext_lazy("Type")),
        ("bits", gettext_lazy("Bits")),
        ("fingerprint", gettext_lazy("Fingerprint")),
        ("last_used_at", gettext_lazy("Last used")),
        ("created_at", gettext_lazy("Created")),
    ],
)
declare_table(
    "own_ssh_keys",
    [
        ("type", gettext_lazy("Type")),
        ("bits", gettext_lazy("Bits")),
        ("fingerprint", gettext_lazy("Fingerprint")),
        ("last_used_at", gettext_lazy("Last used")),
        ("created_at", gettext_lazy("Created")),
    ],
)
OWN_PAGE, TENANT_PAGE = "own-ssh-key-page", "ssh-key-page"


@login_required
@never_cache
@require_GET
def own_ssh_key_page(request: PageRequest) -> HttpResponse:
    """List the user's own keys, also for a user without a tenant."""
    query = read_list_query(request, orderings=ORDERINGS, ordering="name")
    keys = SSHKey.objects.filter(user=cast("User", request.user))
    context = {"tab": "keys", "may_add": True, "add_page": "own-ssh-key-new"}
    return _render_list(
        request, find_scope(request), query, keys, template="vms/own_ssh_keys.html", context=context
    )


@login_required
@never_cache
@require_GET
def ssh_key_page(request: PageRequest) -> HttpResponse:
    """List the keys of the scope's tenants."""
    scope = page_scope(request)
    query = read_list_query(request, orderings=ORDERINGS, ordering="name")
    keys = SSHKey.objects.within(scope).exclude(tenant=None).select_related("tenant")
    context = {
        "may_add": scope.tenant is not None and scope.allows(Role.ADMIN, SSHKey),
        "add_page": "ssh-key-new",
    }
    return _render_list(request, scope, query, keys, template="vms/ssh_keys.html", context=context)


@login_required
@never_cache
@sensitive_post_parameters("public_key")
@require_http_methods(["GET", "POST"])
def new_own_ssh_key_page(request: PageRequest) -> HttpResponse:
    """Show the form; on POST, add a key of the user's own."""
    return _run_new_form(request, _get_own_scope(request), OWN_PAGE)


@login_required
@never_cache
@sensitive_post_parameters("public_key")
@require_http_methods(["GET", "POST"])
def new_ssh_key_page(request: PageRequest) -> HttpResponse:
    """Show the form; on POST, add a key of the tenant."""
    scope = page_scope(request)
    scope.require(Role.ADMIN, SSHKey)
    if scope.tenant is None:
        messages.warning(request, _("Select a tenant first. A shared SSH key belongs to one tenant."))
        return redirect(TENANT_PAGE)
    return _run_new_form(request, scope, TENANT_PAGE)


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def rename_ssh_key_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show the form with the key's name; on POST, rename the key."""
    scope, key, list_page = _find_key(request, pk)

    def rename() -> Outcome:
        fields = validate_form(RenameSSHKeySerializer(data={"name": request.POST.get("name", "")}))
        renamed = ssh_keys.rename_ssh_key(scope=scope, key_id=pk, **fields)
        return _("SSH key %(name)s was renamed.") % {"name": renamed.name}, ""

    context = {"scope": scope, "title": _("Rename SSH key"), "key": key}
    initial = {"name": key.name}
    return run_form(
        request,
        "vms/ssh_key_rename.html",
        context,
        rename,
        list_page=list_page,
        initial=initial,
        fields=("name",),
    )


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def remove_ssh_key_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Ask whether a key is to be deleted; on POST, delete it."""
    scope, key, list_page = _find_key(request, pk)

    def remove() -> Outcome:
        removed = ssh_keys.remove_ssh_key(scope=scope, key_id=pk)
        return _("SSH key %(name)s was deleted.") % {"name": removed.name}, ""

    context = {"scope": scope, "title": _("Delete SSH key"), "key": key}
    return run_form(request, "vms/ssh_key_remove.html", context, remove, list_page=list_page)


def _get_own_scope(request: PageRequest) -> Scope:
    """Return the scope in which a user has keys of their own; one without a tenant has them too."""
    return find_scope(request) or Scope(cast("User", request.user), None, Role.VIEWER)


def _find_key(request: PageRequest, pk: UUID) -> tuple[Scope, SSHKey, str]:
    """Return a key that the user may change, and the page that lists it. Raises 404, 403."""
    scope = _get_own_scope(request)
    key: SSHKey = get_visible_row(SSHKey.objects.select_related("tenant"), scope, pk)
    if key.user_id == scope.user.pk:
        return scope, key, OWN_PAGE
    scope.require(Role.ADMIN, SSHKey)
    return scope, key, TENANT_PAGE


def _render_list(
    request: PageRequest,
    scope: Scope | None,
    query: ListQuery,
    keys: QuerySet[SSHKey],
    *,
    template: str,
    context: dict[str, object],
) -> HttpResponse:
    if query.search:
        keys = keys.filter(Q(name__icontains=query.search) | Q(fingerprint__icontains=query.search))
    page = query.paginate(keys.order_by(query.ordering, "pk"))
    shown = {
        **context,
        "scope": scope,
        "page": page,
        "query": query,
        "ordering": query.ordering,
        "keys": page.object_list,
        "may_change": context["may_add"] or (scope is not None and scope.allows(Role.ADMIN, SSHKey)),
    }
    return render_page(request, template, shown, panels={"keys": "vms/ssh_key_table.html"})


def _run_new_form(request: PageRequest, scope: Scope, list_page: str) -> HttpResponse:
    def add() -> Outcome:
        data = {name: request.POST.get(name, "") for name in ("name", "public_key")}
        fields = validate_form(NewSSHKeySerializer(data=data))
        tenant = scope.tenant.pk if list_page == TENANT_PAGE and scope.tenant is not None else None
        key = ssh_keys.add_ssh_key(scope=scope, tenant=tenant, **fields)
        values = {"name": key.name, "fingerprint": key.fingerprint}
        return _("SSH key %(name)s was added (%(fingerprint)s).") % values, ""

    context = {
        "scope": scope,
        "title": _("Add SSH key"),
        "is_own": list_page == OWN_PAGE,
    }
    # The template does not show again what was entered as the key: it may be a private key.
    return run_form(
        request,
        "vms/ssh_key_form.html",
        context,
        add,
        list_page=list_page,
        fields=("name", "public_key"),
    )
