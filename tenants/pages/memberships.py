"""Pages of memberships: the members and invitations of a tenant, and the user's own invitations."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Model
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from api.domain_errors import DomainError, NotFoundError
from api.form_errors import show_error, validate_form
from api.page_addresses import require_POST
from pages.lists import Filter, read_list_query
from pages.panels import render_messages, render_page

from .. import invitations, services
from ..models import Invitation, Membership, Tenant, User
from ..page_forms import Outcome, run_form
from ..scoped_pages import PageRequest, find_scope
from ..scoping import Role
from ..serializers import ChangeMembershipSerializer, NewMembershipSerializer

LIST_PAGE = "membership-page"
ORDERINGS = frozenset({"user__username", "created_at"})
Handler = Callable[..., str]


@login_required
@never_cache
@require_GET
def membership_page(request: PageRequest) -> HttpResponse:
    """Show the user's own invitations and memberships, and the members of the selected tenant.

    A user without a tenant may open it too, to accept an invitation.
    """
    user = cast("User", request.user)
    scope = find_scope(request)
    tenant = scope.tenant if scope else None
    filters = [Filter("role", _("Role"), _("All roles"), Role.choices)]
    query = read_list_query(request, filters, orderings=ORDERINGS, ordering="user__username")
    context: dict[str, Any] = {
        "scope": scope,
        "query": query,
        "ordering": query.ordering,
        "own_invitations": Invitation.objects.of_invited(user).select_related("tenant", "invited_by"),
        "memberships": user.active_memberships(),
    }
    if scope is not None and tenant is not None:
        members = Membership.objects.within(scope).select_related("user").filter(**query.values)
        if query.search:
            members = members.filter(user__username__icontains=query.search)
        context |= {
            "tenant": tenant,
            "page": query.paginate(members.order_by(query.ordering, "pk")),
            "may_administer": scope.allows(Role.ADMIN, Membership),
            "may_invite": scope.allows(Role.ADMIN, Invitation),
            "may_change_tenant": scope.allows(Role.ADMIN, Tenant),
        }
        if context["may_invite"]:
            context["invitations"] = (
                Invitation.objects.filter(tenant=tenant, expires_at__gt=timezone.now())
                .select_related("invited_by")
                .order_by("username")
            )
    panels = {"own": "tenants/own_memberships.html", "members": "tenants/member_table.html"}
    return render_page(request, "tenants/membership.html", context, panels=panels)


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def invite_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show the form; on POST, invite the user of a username."""
    tenant = _get_tenant(request, pk, Invitation)

    def invite() -> Outcome:
        sent = {name: request.POST.get(name, "") for name in ("username", "role")}
        fields = validate_form(NewMembershipSerializer(data=sent))
        invitations.invite_user(tenant=tenant, by=cast("User", request.user), **fields)
        message = _("If there is a user called '%(name)s', the invitation is shown there.")
        return message % {"name": fields["username"]}, ""

    context = {"title": _("Invite member"), "tenant": tenant, "roles": Role.choices}
    return _run(
        request,
        "tenants/invite_form.html",
        context,
        invite,
        fields=("username", "role"),
        initial={"role": Role.VIEWER},
    )


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def change_member_page(request: PageRequest, pk: UUID, member_pk: UUID) -> HttpResponse:
    """Show the form; on POST, change the role of a member."""
    tenant = _get_tenant(request, pk, Membership)
    member = _get_member(tenant, member_pk)

    def change() -> Outcome:
        fields = validate_form(ChangeMembershipSerializer(data={"role": request.POST.get("role", "")}))
        changed = services.change_member(tenant=tenant, membership_id=member_pk, **fields)
        values = {"name": member.user.username, "role": changed.get_role_display()}
        return _("The role of %(name)s is now: %(role)s.") % values, ""

    context = {"title": _("Change role"), "tenant": tenant, "member": member, "roles": Role.choices}
    initial = {"role": member.role}
    return _run(request, "tenants/role_form.html", context, change, fields=("role",), initial=initial)


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def remove_member_page(request: PageRequest, pk: UUID, member_pk: UUID) -> HttpResponse:
    """Ask whether a member is to be removed from the tenant; on POST, remove the member."""
    tenant = _get_tenant(request, pk, Membership)
    member = _get_member(tenant, member_pk)

    def remove() -> Outcome:
        services.remove_member(tenant=tenant, membership_id=member_pk)
        values = {"name": member.user.username, "tenant": tenant.name}
        return _("%(name)s was removed from %(tenant)s.") % values, ""

    context = {"title": _("Remove member"), "tenant": tenant, "member": member}
    return _run(request, "tenants/member_remove.html", context, remove)


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def leave_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Ask whether the user is to leave a tenant; on POST, end the user's own membership."""
    user = cast("User", request.user)
    membership = user.active_memberships().filter(tenant=pk).first()
    if membership is None:
        raise NotFoundError

    def leave() -> Outcome:
        invitations.leave_tenant(user=user, tenant_id=pk)
        return _("You have left %(tenant)s.") % {"tenant": membership.tenant.name}, ""

    context = {"title": _("Leave tenant"), "tenant": membership.tenant}
    return _run(request, "tenants/leave_form.html", context, leave)


def membership_button(handle: Handler) -> Callable[..., HttpResponse]:
    """Turn a function that handles a button of the membership page into a page; errors are shown on the membership page."""

    @login_required
    @require_POST
    @wraps(handle)
    def page(request: PageRequest, **ids: UUID) -> HttpResponse:
        try:
            messages.success(request, handle(request, **ids))
        except DomainError as refused:
            show_error(request, refused)
        return render_messages(request) if request.htmx else redirect(LIST_PAGE)

    return page


@membership_button
def demand_second_factor_page(request: PageRequest, pk: UUID) -> str:
    """Demand a second factor of the tenant's members, or no longer, as the button says."""
    demanded = request.POST.get("demanded") == "yes"
    tenant = _get_tenant(request, pk, Tenant)
    services.change_tenant(tenant=tenant, fields={"second_factor_required": demanded})
    if demanded:
        return _("%(tenant)s demands a second factor of its members now.") % {"tenant": tenant.name}
    return _("%(tenant)s demands no second factor any more.") % {"tenant": tenant.name}


@membership_button
def withdraw_invitation_page(request: PageRequest, pk: UUID, invitation_pk: UUID) -> str:
    """Withdraw an invitation."""
    invitations.withdraw_invitation(tenant=_get_tenant(request, pk, Invitation), invitation_id=invitation_pk)
    return _("The invitation was withdrawn.")


@membership_button
def accept_invitation_page(request: PageRequest, pk: UUID) -> str:
    """Accept an invitation."""
    membership = invitations.accept_invitation(user=cast("User", request.user), invitation_id=pk)
    return _("You are a member of %(tenant)s now.") % {"tenant": membership.tenant.name}


@membership_button
def decline_invitation_page(request: PageRequest, pk: UUID) -> str:
    """Decline an invitation."""
    invitations.decline_invitation(user=cast("User", request.user), invitation_id=pk)
    return _("The invitation was declined.")


def _get_tenant(request: PageRequest, pk: UUID, model: type[Model]) -> Tenant:
    return services.get_tenant(cast("User", request.user), pk, Role.ADMIN, model)


def _get_member(tenant: Tenant, pk: UUID) -> Membership:
    members = Membership.objects.select_related("user")
    member: Membership | None = members.filter(tenant=tenant, pk=pk).first()
    if member is None:
        raise NotFoundError
    return member


def _run(
    request: PageRequest,
    template: str,
    context: dict[str, Any],
    handle: Callable[[], Outcome],
    **options: Any,
) -> HttpResponse:
    shown = {"scope": find_scope(request), **context}
    return run_form(request, template, shown, handle, list_page=LIST_PAGE, **options)
