"""Create, change, test and delete webhooks, and send again what they have missed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from api.database_errors import violated_constraint
from api.domain_errors import ConflictError, InvalidFieldsError
from api.preconditions import check_if_match
from events.recording import record_event
from security.encryption import UnreadableSecretError
from security.endpoints import check_receiver_url
from tenants.row_limits import require_row_limit
from tenants.scoping import Role, Scope, get_visible_row, lock_row, require_tenant

from ..feed_positions import find_last_number
from ..models import Delivery, Webhook

# At most so many events are sent again by one request.
MAX_SENT_AGAIN = 1000


def create_webhook(*, scope: Scope, fields: dict[str, Any]) -> tuple[Webhook, str]:
    """Create a webhook that gets the events from now on; return it with its secret, which is shown this once.

    Raises 403 `role_too_low`; 400 by field, `tenant_required`; 409 `limit_reached`.
    """
    scope.require(Role.ADMIN, Webhook)
    tenant = require_tenant(scope)
    _check_url(fields["url"])
    webhook = Webhook(
        tenant=tenant, name=fields["name"], codes=fields["codes"], active=fields.get("active", True)
    )
    webhook.set_url(fields["url"])
    secret = webhook.set_new_secret()
    with transaction.atomic():
        require_row_limit(tenant, "webhooks", Webhook.objects.filter(tenant=tenant))
        webhook.position = find_last_number(webhook)
        _save(webhook)
    return webhook, secret


def change_webhook(
    *, scope: Scope, webhook_id: UUID, fields: dict[str, Any], if_match: str | None = None
) -> Webhook:
    """Change a webhook. One that is switched on again goes on where it stopped. Raises `NotFoundError`, 403, 412, 400 by field."""
    if "url" in fields:
        _check_url(fields["url"])
    with transaction.atomic():
        webhook: Webhook = lock_row(Webhook.objects.all(), scope, webhook_id, Role.ADMIN)
        check_if_match(if_match, webhook.version)
        if "url" in fields and fields["url"] != _read_url(webhook):
            webhook.set_url(fields["url"])
        if fields.get("active") and not webhook.active:
            webhook.switched_off_at = webhook.failing_since = None
        # A changed webhook is tried at once.
        webhook.due_at, webhook.attempts = None, 0
        webhook.name = fields.get("name", webhook.name)
        webhook.codes = fields.get("codes", webhook.codes)
        webhook.active = fields.get("active", webhook.active)
        webhook.version = F("version") + 1
        _save(webhook)
        webhook.refresh_from_db()
        return webhook


def remove_webhook(*, scope: Scope, webhook_id: UUID, if_match: str | None = None) -> Webhook:
    """Delete a webhook and what is known of its deliveries. Raises `NotFoundError`, 403, 412."""
    with transaction.atomic():
        webhook: Webhook = lock_row(Webhook.objects.all(), scope, webhook_id, Role.ADMIN)
        check_if_match(if_match, webhook.version)
        webhook.delete()
        return webhook


def rotate_secret(*, scope: Scope, webhook_id: UUID) -> tuple[Webhook, str]:
    """Give a webhook a new secret and return it. The old one signs beside it for a day. Raises `NotFoundError`, 403."""
    with transaction.atomic():
        webhook: Webhook = lock_row(Webhook.objects.all(), scope, webhook_id, Role.ADMIN)
        secret = webhook.set_new_secret()
        webhook.secret_changed_at = timezone.now()
        webhook.version = F("version") + 1
        webhook.save()
        webhook.refresh_from_db()
        record_event(
            "webhook.secret_changed",
            tenant_id=webhook.tenant_id,
            object_type="webhook",
            object_id=webhook.pk,
            object_name=webhook.name,
        )
        return webhook, secret


def test_webhook(*, scope: Scope, webhook_id: UUID) -> Webhook:
    """Have a test message sent by the next delivery run, a few seconds from now. Raises `NotFoundError`, 403."""
    with transaction.atomic():
        webhook: Webhook = lock_row(Webhook.objects.all(), scope, webhook_id, Role.ADMIN)
        webhook.test_requested_at = timezone.now()
        webhook.save(update_fields=["test_requested_at"])
        return webhook


def send_again(*, scope: Scope, webhook_id: UUID, numbers: Sequence[int] | None = None) -> int:
    """Have events sent again: those of the given numbers, or all that failed; return how many. The feed goes on beside it.

    Raises `NotFoundError`, 403; 409 `nothing_to_send` when no delivery of these numbers is recorded.
    """
    with transaction.atomic():
        webhook: Webhook = lock_row(Webhook.objects.all(), scope, webhook_id, Role.ADMIN)
        deliveries = Delivery.objects.filter(webhook=webhook)
        if numbers is None:
            deliveries = deliveries.filter(status=Delivery.Status.FAILED)
        else:
            ended = [Delivery.Status.FAILED, Delivery.Status.DELIVERED]
            deliveries = deliveries.filter(number__in=numbers, status__in=ended)
        chosen = list(deliveries.order_by("number").values_list("pk", flat=True)[:MAX_SENT_AGAIN])
        if not chosen:
            raise ConflictError(
                "nothing_to_send", _("No ended delivery matches, so there is nothing to send again.")
            )
        # A webhook that waits for its next attempt is tried at once.
        Webhook.objects.filter(pk=webhook.pk).update(due_at=None)
        return Delivery.objects.filter(pk__in=chosen).update(status=Delivery.Status.QUEUED)


def read_webhook(*, scope: Scope, webhook_id: UUID) -> tuple[Webhook, str]:
    """Return a webhook with its URL, for administrators. Raises `NotFoundError`, 403."""
    webhook: Webhook = get_visible_row(
        Webhook.objects.select_related("tenant"), scope, webhook_id, Role.ADMIN
    )
    return webhook, _read_url(webhook)


def _read_url(webhook: Webhook) -> str:
    """Return the URL; "" if it cannot be decrypted, so that a new one can be entered."""
    try:
        return webhook.decrypt_url()
    except UnreadableSecretError:
        return ""


def _check_url(url: str) -> None:
    try:
        check_receiver_url(url)
    except ValidationError as error:
        raise InvalidFieldsError({"url": error.messages}) from None


def _save(webhook: Webhook) -> None:
    try:
        with transaction.atomic():
            webhook.save()
    except IntegrityError as error:
        if violated_constraint(error) != "webhook_name_unique_in_tenant":
            raise
        message = _("The tenant has a webhook called '%(name)s' already.") % {"name": webhook.name}
        raise InvalidFieldsError({"name": [message]}) from None
