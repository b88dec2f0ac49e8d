"""Invitations: nobody becomes a member of a tenant unasked.

Whoever invites learns nothing about who exists: no user is looked up, and the answer is that of the written row.
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
from .services import keep_an_administrator


def invite(*, tenant: Tenant, username: str, role: str, by: User) -> Invitation:
    """Invite whoever has a user name.

    Raises 409 `already_member` (the tenant's own list shows that too), `invited_already`, `too_many_invitations`.
    """
    username = User.normalize_username(username)
    with transaction.atomic():
        # The tenant's row is the one lock for its invitations, so that they are counted one after another.
        Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)
        invitations = Invitation.objects.filter(tenant=tenant)
        invitations.filter(expires_at__lte=Now()).delete()
        if Membership.objects.filter(tenant=tenant, user__username=username).exists():
            raise ConflictError(
                "already_member", _("This user is a member already; change the role instead.")
            )
        if invitations.filter(username=username).exists():
            raise ConflictError("invited_already", _("There is an invitation for this name already."))
        # What was declined counts too: it is in the table, and there is to be an end to asking.
        if invitations.count() >= settings.INVITATIONS_PER_TENANT:
            raise ConflictError(
                "too_many_invitations",
                _(
                    "The tenant has %(count)s invitations, which is the most; withdraw one, or wait for an answer."
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
    """Take an invitation back. Raises `NotFoundError`, 409 `declined` for one that was declined: it stays until it expires."""
    with transaction.atomic():
        invitation = Invitation.objects.select_for_update().filter(tenant=tenant, pk=invitation_id).first()
        if invitation is None:
            raise NotFoundError
        if invitation.declined_at is not None and invitation.expires_at > timezone.now():
            raise ConflictError("declined", _("It was declined; it is forgotten when it expires."))
        invitation.delete()


def accept_invitation(*, user: User, invitation_id: UUID) -> Membership:
    """Become a member, in the role of the invitation. Raises `NotFoundError` for what is not pending for this user.

    Safe against a second acceptance and against being withdrawn at this moment: the invitation's row is locked.
    """
    with transaction.atomic():
        invitation = _locked_invitation(user, invitation_id)
        invitation.delete()
        try:
            with transaction.atomic():
                return Membership.objects.create(user=user, tenant=invitation.tenant, role=invitation.role)
        except IntegrityError as error:
            if violated_constraint(error) != "membership_once_per_tenant":
                raise
        # Staff have added the user meanwhile: that role stays.
        there: Membership = Membership.objects.get(user=user, tenant=invitation.tenant)
        return there


def decline_invitation(*, user: User, invitation_id: UUID) -> None:
    """Say no. Raises `NotFoundError` for what is not pending for this user."""
    with transaction.atomic():
        invitation = _locked_invitation(user, invitation_id)
        invitation.declined_at = timezone.now()
        invitation.save(update_fields=["declined_at"])


def leave_tenant(*, user: User, tenant_id: UUID) -> None:
    """End the own membership. Raises `NotFoundError`, 409 `last_administrator`."""
    with transaction.atomic():
        tenant = Tenant.objects.of_member(user).select_for_update(of=("self",)).filter(pk=tenant_id).first()
        if tenant is None:
            raise NotFoundError
        membership = Membership.objects.filter(user=user, tenant=tenant).first()
        if membership is None:
            raise NotFoundError
        keep_an_administrator(tenant, membership)
        membership.delete()


def _locked_invitation(user: User, invitation_id: UUID) -> Invitation:
    mine = Invitation.objects.of_invited(user).select_related("tenant").select_for_update(of=("self",))
    invitation: Invitation | None = mine.filter(pk=invitation_id).first()
    if invitation is None:
        raise NotFoundError
    return invitation
