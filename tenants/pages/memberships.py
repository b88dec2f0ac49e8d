"""Pages of memberships: the members and invitations of a tenant, and the user's own invitations."""

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

from .. import invitations, services
from ..models import Invitation, Membership, Tenant, User
from ..scoped_pages import page_scope
from ..scoping import Role
from ..serializers import ChangeMembershipSerializer, NewMembershipSerializer

PAGE_SIZE = 50
FormHandler = Callable[..., None]


@login_required
@never_cache
@require_GET
def membership_page(request: HttpRequest) -> HttpResponse:
    """Show the user's own invitations and memberships, and the members of the selected tenant.

    A user without a tenant may open it too, to accept an invitation.
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


def membership_form_page(handle: FormHandler) -> Callable[..., HttpResponse]:
    """Turn a function that handles a form of the membership page into a page; errors are shown on the membership page."""

    @login_required
    @require_POST
    @wraps(handle)
    def page(request: HttpRequest, **ids: UUID) -> HttpResponse:
        try:
            handle(request, **ids)
        except DomainError as refused:
            show_error(request, refused)
        return redirect("membership-page")

    return page


def _get_tenant(request: HttpRequest, pk: UUID, model: type[Invitation | Membership]) -> Tenant:
    return services.get_tenant(cast("User", request.user), pk, Role.ADMIN, model)


@membership_form_page
def invite_page(request: HttpRequest, pk: UUID) -> None:
    """Invite the user of a username."""
    tenant = _get_tenant(request, pk, Invitation)
    fields = validate_form(NewMembershipSerializer(data=filled_fields(request.POST, "username", "role")))
    invitations.invite_user(tenant=tenant, by=cast("User", request.user), **fields)
    messages.success(
        request,
        _("If there is a user called '%(name)s', the invitation is shown there.")
        % {"name": fields["username"]},
    )


@membership_form_page
def withdraw_invitation_page(request: HttpRequest, pk: UUID, invitation_pk: UUID) -> None:
    """Withdraw an invitation."""
    invitations.withdraw_invitation(tenant=_get_tenant(request, pk, Invitation), invitation_id=invitation_pk)
    messages.success(request, _("The invitation is withdrawn."))


@membership_form_page
def change_member_page(request: HttpRequest, pk: UUID, member_pk: UUID) -> None:
    """Change the role of a member."""
    tenant = _get_tenant(request, pk, Membership)
    fields = validate_form(ChangeMembershipSerializer(data=filled_fields(request.POST, "role")))
    services.change_member(tenant=tenant, membership_id=member_pk, **fields)
    messages.success(request, _("The role is changed."))


@membership_form_page
def remove_member_page(request: HttpRequest, pk: UUID, member_pk: UUID) -> None:
    """Remove a member from the tenant."""
    services.remove_member(tenant=_get_tenant(request, pk, Membership), membership_id=member_pk)
    messages.success(request, _("The member is removed."))


@membership_form_page
def leave_page(request: HttpRequest, pk: UUID) -> None:
    """End the user's own membership."""
    invitations.leave_tenant(user=cast("User", request.user), tenant_id=pk)
    messages.success(request, _("You have left the tenant."))


@membership_form_page
def accept_invitation_page(request: HttpRequest, pk: UUID) -> None:
    """Accept an invitation."""
    membership = invitations.accept_invitation(user=cast("User", request.user), invitation_id=pk)
    messages.success(request, _("You are a member of %(tenant)s now.") % {"tenant": membership.tenant.name})


@membership_form_page
def decline_invitation_page(request: HttpRequest, pk: UUID) -> None:
    """Decline an invitation."""
    invitations.decline_invitation(user=cast("User", request.user), invitation_id=pk)
    messages.success(request, _("The invitation is declined."))
