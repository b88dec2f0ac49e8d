"""Membership on pages: a tenant's members and invitations, and what one is invited to."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from api.domain_errors import DomainError
from api.form_errors import filled_fields, show_error, validate_form
from api.page_addresses import require_POST

from . import invitations, services
from .models import Invitation, Membership, Tenant, User
from .scoped_pages import page_scope
from .scoping import Role
from .serializers import ChangedMembershipSerializer, NewMembershipSerializer

PAGE_SIZE = 50
Act = Callable[..., None]


@login_required
@never_cache
@require_GET
def membership_page(request: HttpRequest) -> HttpResponse:
    """Show one's own invitations and memberships; and of the chosen tenant the members, with what may be done.

    It opens for who belongs to no tenant too: that is where an invitation is accepted.
    """
    user = cast("User", request.user)
    try:
        scope = page_scope(request)
    except PermissionDenied:
        scope = None
    tenant = scope.tenant if scope else None
    context: dict[str, Any] = {
        "scope": scope,
        "own_invitations": Invitation.objects.of_invited(user).select_related("tenant", "invited_by"),
        "memberships": user.active_memberships(),
    }
    if scope is not None and tenant is not None:
        members = Membership.objects.within(scope).select_related("user").order_by("user__username")
        may_administer = scope.allows(Role.ADMIN, Membership)
        context |= {
            "tenant": tenant,
            "members": Paginator(members, PAGE_SIZE).get_page(request.GET.get("page")),
            "may_administer": may_administer,
            "may_invite": scope.allows(Role.ADMIN, Invitation),
            "roles": Role.choices,
            "now": timezone.now(),
        }
        if context["may_invite"]:
            context["invitations"] = Invitation.objects.filter(tenant=tenant, expires_at__gt=timezone.now())
    return render(request, "tenants/membership.html", context)


def _posted(act: Act) -> Callable[..., HttpResponse]:
    """A page of a function that does what a form of the membership page asks for; refusals are shown there."""

    @login_required
    @require_POST
    @wraps(act)
    def page(request: HttpRequest, **names: UUID) -> HttpResponse:
        try:
            act(request, **names)
        except DomainError as refused:
            show_error(request, refused)
        return redirect("membership-page")

    return page


def _tenant(request: HttpRequest, pk: UUID, model: type[Invitation | Membership]) -> Tenant:
    return services.tenant_in(cast("User", request.user), pk, Role.ADMIN, model)


@_posted
def invite(request: HttpRequest, pk: UUID) -> None:
    """Invite whoever has a user name."""
    tenant = _tenant(request, pk, Invitation)
    asked = validate_form(NewMembershipSerializer(data=filled_fields(request.POST, "username", "role")))
    invitations.invite(tenant=tenant, by=cast("User", request.user), **asked)
    messages.success(
        request,
        _("If there is a user called '%(name)s', the invitation is shown there.")
        % {"name": asked["username"]},
    )


@_posted
def withdraw_invitation(request: HttpRequest, pk: UUID, invitation_pk: UUID) -> None:
    """Take an invitation back."""
    invitations.withdraw_invitation(tenant=_tenant(request, pk, Invitation), invitation_id=invitation_pk)
    messages.success(request, _("The invitation is withdrawn."))


@_posted
def change_member(request: HttpRequest, pk: UUID, member_pk: UUID) -> None:
    """Give a member another role."""
    tenant = _tenant(request, pk, Membership)
    asked = validate_form(ChangedMembershipSerializer(data=filled_fields(request.POST, "role")))
    services.change_member(tenant=tenant, membership_id=member_pk, **asked)
    messages.success(request, _("The role is changed."))


@_posted
def remove_member(request: HttpRequest, pk: UUID, member_pk: UUID) -> None:
    """Take a member out."""
    services.remove_member(tenant=_tenant(request, pk, Membership), membership_id=member_pk)
    messages.success(request, _("The member is removed."))


@_posted
def leave(request: HttpRequest, pk: UUID) -> None:
    """End the own membership."""
    invitations.leave_tenant(user=cast("User", request.user), tenant_id=pk)
    messages.success(request, _("You have left the tenant."))


@_posted
def accept_invitation(request: HttpRequest, pk: UUID) -> None:
    """Become a member."""
    membership = invitations.accept_invitation(user=cast("User", request.user), invitation_id=pk)
    messages.success(request, _("You are a member of %(tenant)s now.") % {"tenant": membership.tenant.name})


@_posted
def decline_invitation(request: HttpRequest, pk: UUID) -> None:
    """Say no to an invitation."""
    invitations.decline_invitation(user=cast("User", request.user), invitation_id=pk)
    messages.success(request, _("The invitation is declined."))
