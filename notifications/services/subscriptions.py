"""Create, change, test and delete subscriptions."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from api.database_errors import violated_constraint
from api.domain_errors import InvalidFieldsError, NotFoundError
from api.preconditions import check_if_match
from security.encryption import encrypt
from tenants.row_limits import require_row_limit
from tenants.scoping import Role, Scope, require_tenant

from ..chat_robots import check_robot_url
from ..feed_positions import find_last_number
from ..models import Subscription

MAX_MAIL_ADDRESSES = 20


def create_subscription(*, scope: Scope, fields: dict[str, Any]) -> Subscription:
    """Create a subscription to the events from now on: the caller's own, or for administrators one of the tenant's.

    Raises 403 `role_too_low`; 400 by field, `tenant_required`; 409 `limit_reached`.
    """
    shared = fields.get("shared", False)
    scope.require(Role.ADMIN if shared else Role.VIEWER, Subscription)
    tenant = require_tenant(scope)
    subscription = Subscription(tenant=tenant, user=None if shared else scope.user)
    _apply(subscription, fields)
    with transaction.atomic():
        require_row_limit(tenant, "subscriptions", Subscription.objects.filter(tenant=tenant))
        subscription.position = find_last_number(subscription)
        _save(subscription)
    return subscription


def change_subscription(
    *, scope: Scope, subscription_id: UUID, fields: dict[str, Any], if_match: str | None = None
) -> Subscription:
    """Change a subscription. Raises `NotFoundError`, 403, 412, 400 by field."""
    with transaction.atomic():
        subscription = _lock(scope, subscription_id)
        check_if_match(if_match, subscription.version)
        if fields.get("active") and not subscription.active:
            # One that is switched on tells what happens from now on, and not what was missed.
            subscription.position = find_last_number(subscription)
            subscription.switched_off_at = subscription.failing_since = None
        _apply(subscription, fields)
        subscription.due_at, subscription.attempts = None, 0
        subscription.version = F("version") + 1
        _save(subscription)
        subscription.refresh_from_db()
        return subscription


def remove_subscription(*, scope: Scope, subscription_id: UUID, if_match: str | None = None) -> Subscription:
    """Delete a subscription. Raises `NotFoundError`, 403, 412."""
    with transaction.atomic():
        subscription = _lock(scope, subscription_id)
        check_if_match(if_match, subscription.version)
        subscription.delete()
        return subscription


def test_subscription(*, scope: Scope, subscription_id: UUID) -> Subscription:
    """Have a test message sent by the next delivery run, a few seconds from now. Raises `NotFoundError`, 403."""
    with transaction.atomic():
        subscription = _lock(scope, subscription_id)
        subscription.test_requested_at = timezone.now()
        subscription.save(update_fields=["test_requested_at"])
        return subscription


def get_subscription(*, scope: Scope, subscription_id: UUID) -> Subscription:
    """Return a subscription of the caller or of the tenant. Raises `NotFoundError`."""
    rows = Subscription.objects.within(scope).select_related("tenant", "user")
    subscription: Subscription | None = rows.filter(pk=subscription_id).first()
    if subscription is None:
        raise NotFoundError
    return subscription


def _lock(scope: Scope, subscription_id: UUID) -> Subscription:
    """Lock a subscription that the caller may change: the own one, or as an administrator that of the tenant."""
    rows = Subscription.objects.within(scope).select_for_update(of=("self",)).select_related("tenant")
    subscription: Subscription | None = rows.filter(pk=subscription_id).first()
    if subscription is None:
        raise NotFoundError
    scope.require(Role.VIEWER if subscription.user_id == scope.user.pk else Role.ADMIN, Subscription)
    return subscription


def _apply(subscription: Subscription, fields: dict[str, Any]) -> None:
    """Put fields into a subscription. Raises 400 by field."""
    for name in ("name", "codes", "active", "only_own", "timing", "quiet_from", "quiet_to", "channel"):
        if name in fields:
            setattr(subscription, name, fields[name])
    if (subscription.quiet_from is None) != (subscription.quiet_to is None):
        raise InvalidFieldsError({"quiet_to": [_("Enter both times, or none.")]})
    if "secret" in fields:
        subscription.encrypted_secret = encrypt(fields["secret"])
    is_own_mail = subscription.user_id is not None and subscription.channel == Subscription.Channel.MAIL
    if is_own_mail:
        subscription.encrypted_address = ""
    elif fields.get("address"):
        subscription.set_address(_check_address(subscription.channel, fields["address"]))
    elif not subscription.encrypted_address or ("channel" in fields and "address" in fields):
        raise InvalidFieldsError({"address": [_("Enter where the messages go.")]})


def _check_address(channel: str, text: str) -> str:
    if channel == Subscription.Channel.CHAT:
        if problem := check_robot_url(text):
            raise InvalidFieldsError({"address": [problem]})
        return text
    addresses = [address.strip() for address in text.split(",") if address.strip()]
    if len(addresses) > MAX_MAIL_ADDRESSES:
        message = _("Enter at most %(most)s addresses.") % {"most": MAX_MAIL_ADDRESSES}
        raise InvalidFieldsError({"address": [message]})
    for address in addresses:
        try:
            validate_email(address)
        except ValidationError:
            message = _("This is no email address: '%(address)s'.") % {"address": address[:100]}
            raise InvalidFieldsError({"address": [message]}) from None
    return ", ".join(addresses)


def _save(subscription: Subscription) -> None:
    try:
        with transaction.atomic():
            subscription.save()
    except IntegrityError as error:
        if not (violated_constraint(error) or "").startswith("subscription_name_"):
            raise
        message = _("There is a subscription called '%(name)s' already.") % {"name": subscription.name}
        raise InvalidFieldsError({"name": [message]}) from None
