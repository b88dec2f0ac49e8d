"""Invite users to tenants, and accept, decline and withdraw invitations.

Nobody becomes a member of a tenant without accepting an invitation, except by staff. An invitation does not reveal which
users exist: no user is looked up, and the answer shows the written row.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from api.database_errors import violated_constraint
from api.domain_errors import ConflictError, NotFoundError

from .models import Invitation, Membership, Tenant, User
from .services import require_other_administrator


def invite_user(*, tenant: Tenant, username: str, role: str, by: User) -> Invitation:
    """Invite the user of a username, whether such a user exists or not.

    Raises 409 `already_member` (the tenant's own list shows that too), `invited_already`, `too_many_invitations`.
    """
    username = User.normalize_username(username)
    with transaction.atomic():
        # The lock on the tenant's row serializes its invitations, so that each is counted.
        Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)
        invitations = Invitation.objects.filter(tenant=tenant)
        invitations.filter(expires_at__lte=Now()).delete()
        if Membership.objects.filter(tenant=tenant, user__username=username).exists():
            raise ConflictError(
                "already_member", _("This user is already a member. Change the role instead.")
            )
        if invitations.filter(username=username).exists():
            raise ConflictError("invited_already", _("This user has already been invited."))
        # Declined ones count too, so that nobody is invited again and again.
        if invitations.count() >= settings.INVITATIONS_PER_TENANT:
            raise ConflictError(
                "too_many_invitations",
                _(
                    "The tenant has %(count)s open invitations, which is the limit. Withdraw one, or wait until one is accepted."
                )
                % {"count": settings.INVITATIONS_PER_TENANT},
            )
        return Invitation.objects.create(
            tenant=tenant,
            username=username,
            role=role,
            invited_by=by,
            expires_at=timezone.now() + timedelta(days=settings.INVITATION_DAYS),
        )


def withdraw_invitation(*, tenant: Tenant, invitation_id: UUID) -> None:
    """Withdraw an invitation. Raises `NotFoundError`, 409 `declined` for one that was declined: it stays until it expires."""
    with transaction.atomic():
        invitation = Invitation.objects.select_for_update().filter(tenant=tenant, pk=invitation_id).first()
        if invitation is None:
            raise NotFoundError
        if invitation.declined_at is not None and invitation.expires_at > timezone.now():
            raise ConflictError("declined", _("The invitation was declined. It disappears when it expires."))
        invitation.delete()


def accept_invitation(*, user: User, invitation_id: UUID) -> Membership:
    """Accept an invitation: become a member in its role. Raises `NotFoundError` for one that is not pending for this user.

    Safe beside a second acceptance or a withdrawal: the invitation's row is locked.
    """
    with transaction.atomic():
        invitation = _lock_invitation(user, invitation_id)
        invitation.delete()
        try:
            with transaction.atomic():
                return Membership.objects.create(user=user, tenant=invitation.tenant, role=invitation.role)
        except IntegrityError as error:
            if violated_constraint(error) != "membership_once_per_tenant":
                raise
        # Staff have added the user in the meantime; the role that they gave stays.
        existing: Membership = Membership.objects.get(user=user, tenant=invitation.tenant)
        return existing


def decline_invitation(*, user: User, invitation_id: UUID) -> None:
    """Decline an invitation. Raises `NotFoundError` for one that is not pending for this user."""
    with transaction.atomic():
        invitation = _lock_invitation(user, invitation_id)
        invitation.declined_at = timezone.now()
        invitation.save(update_fields=["declined_at"])


def leave_tenant(*, user: User, tenant_id: UUID) -> None:
    """End the user's own membership. Raises `NotFoundError`, 409 `last_administrator`."""
    with transaction.atomic():
        tenant = Tenant.objects.of_member(user).select_for_update(of=("self",)).filter(pk=tenant_id).first()
        if tenant is None:
            raise NotFoundError
        membership = Membership.objects.filter(user=user, tenant=tenant).first()
        if membership is None:
            raise NotFoundError
        require_other_administrator(tenant, membership)
        membership.delete()


def _lock_invitation(user: User, invitation_id: UUID) -> Invitation:
    pending = Invitation.objects.of_invited(user).select_related("tenant").select_for_update(of=("self",))
    invitation: Invitation | None = pending.filter(pk=invitation_id).first()
    if invitation is None:
        raise NotFoundError
    return invitation
