"""The subscription that each new member begins with: mails about own tasks that fail, and for administrators reminders."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db.models.functions import Now
from django.utils import translation
from django.utils.translation import gettext as _

from events.models import EventChain
from tenants.models import Membership
from tenants.scoping import Role

from .models import DeliveryRun, Subscription

DEFAULT_CODES = [
    "task.failed",
    "task.errored",
    "task.stuck",
    "approval.waiting",
    "approval.approved",
    "approval.rejected",
    "approval.expired",
]
# What administrators are told besides.
ADMINISTRATOR_CODES = ["quota.nearly_used", "vm.ends_soon", "cloud_resource.*"]
MEMBERS_PER_RUN = 500
# A membership becomes visible with its commit, which may be so much later than its time of creation.
LOOK_BACK = timedelta(minutes=1)


def list_recent_members() -> list[UUID]:
    """Return the memberships of the last moments. Before the very first run they count as seen, as all others do."""
    return list(Membership.objects.filter(created_at__gt=Now() - LOOK_BACK).values_list("pk", flat=True))


def subscribe_new_members() -> None:
    """Subscribe those who have become members since the last call. They can change or delete the subscription.

    Members of before the first call are left alone, and so are service accounts. Called by the one delivery run there is at a time.
    """
    run = DeliveryRun.objects.get(pk=1)
    new = Membership.objects.filter(
        created_at__gt=run.members_seen_at - LOOK_BACK, user__is_active=True, user__service_account=None
    )
    unseen = new.exclude(pk__in=run.members_seen).select_related("user")
    members = list(unseen.order_by("created_at")[:MEMBERS_PER_RUN])
    if not members:
        return
    chains = EventChain.objects.filter(tenant__in={member.tenant_id for member in members})
    positions = dict(chains.values_list("tenant", "last_number"))
    subscriptions = [_build(member, positions.get(member.tenant_id, 0)) for member in members]
    Subscription.objects.bulk_create(subscriptions, ignore_conflicts=True)
    seen_at = max(run.members_seen_at, members[-1].created_at)
    recent = Membership.objects.filter(created_at__gt=seen_at - LOOK_BACK, created_at__lte=seen_at)
    known = {*run.members_seen, *(member.pk for member in members)}
    seen = [pk for pk in recent.values_list("pk", flat=True) if pk in known]
    DeliveryRun.objects.filter(pk=1).update(members_seen_at=seen_at, members_seen=seen)


def _build(member: Membership, position: int) -> Subscription:
    with translation.override(member.user.language or settings.LANGUAGE_CODE):
        name = _("My tasks and requests")
    return Subscription(
        tenant_id=member.tenant_id,
        user_id=member.user_id,
        name=name,
        channel=Subscription.Channel.MAIL,
        codes=DEFAULT_CODES + (ADMINISTRATOR_CODES if member.role == Role.ADMIN else []),
        only_own=True,
        position=position,
    )
