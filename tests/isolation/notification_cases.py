"""The cases of webhooks and subscriptions."""

from __future__ import annotations

from django.utils import timezone

from notifications.models import Delivery, Subscription, Webhook
from tenants.models import Membership
from tenants.scoping import Role

from .case import Case, Ids

WEBHOOK = {"name": "deployer", "url": "http://127.0.0.1:9/hook", "codes": ["*"]}


def create_webhook(member: Membership) -> Ids:
    """Create a webhook with a delivery that failed."""
    webhook = Webhook(tenant=member.tenant, name="build server", codes=["*"])
    webhook.set_url("http://127.0.0.1:9/")
    webhook.set_new_secret()
    webhook.save()
    now = timezone.now()
    Delivery.objects.create(
        webhook=webhook, number=1, code="host.changed", status="failed", began_at=now, attempted_at=now
    )
    return {"id": webhook.pk}


def create_subscription(member: Membership) -> Ids:
    """Create a subscription of the tenant's."""
    subscription = Subscription(tenant=member.tenant, name="operations", channel="mail", codes=["*"])
    subscription.set_address("ops@example.org")
    subscription.save()
    return {"id": subscription.pk}


NOTIFICATION_CASES: dict[tuple[str, str], Case] = {
    ("GET", "/api/v1/webhooks/"): Case(200),
    ("POST", "/api/v1/webhooks/"): Case(
        201, Role.ADMIN, body=lambda member: WEBHOOK, bad_body=WEBHOOK | {"url": "ftp://a", "codes": ["A B"]}
    ),
    ("GET", "/api/v1/webhooks/{id}/"): Case(200, Role.ADMIN, ids=create_webhook),
    ("PATCH", "/api/v1/webhooks/{id}/"): Case(
        200,
        Role.ADMIN,
        ids=create_webhook,
        body=lambda member: {"codes": ["task.failed"]},
        bad_body={"codes": []},
    ),
    ("DELETE", "/api/v1/webhooks/{id}/"): Case(204, Role.ADMIN, ids=create_webhook),
    ("POST", "/api/v1/webhooks/{id}/secret/"): Case(201, Role.ADMIN, ids=create_webhook),
    ("POST", "/api/v1/webhooks/{id}/test/"): Case(202, Role.ADMIN, ids=create_webhook),
    ("GET", "/api/v1/webhooks/{id}/deliveries/"): Case(200, Role.ADMIN, ids=create_webhook),
    ("POST", "/api/v1/webhooks/{id}/redeliver/"): Case(
        202, Role.ADMIN, ids=create_webhook, body=lambda member: {"numbers": [1]}, bad_body={"numbers": [0]}
    ),
    ("GET", "/api/v1/subscriptions/"): Case(200),
    # Everybody may subscribe; that one of the tenant's takes an administrator is tried in tests/notifications.
    ("POST", "/api/v1/subscriptions/"): Case(
        201,
        body=lambda member: {"name": "mine", "channel": "mail", "codes": ["task.failed"]},
        bad_body={"name": "mine", "channel": "pigeon", "codes": ["task.failed"]},
    ),
    ("GET", "/api/v1/subscriptions/{id}/"): Case(200, ids=create_subscription),
    ("PATCH", "/api/v1/subscriptions/{id}/"): Case(
        200,
        Role.ADMIN,
        ids=create_subscription,
        body=lambda member: {"timing": "daily"},
        bad_body={"timing": "never"},
    ),
    ("DELETE", "/api/v1/subscriptions/{id}/"): Case(204, Role.ADMIN, ids=create_subscription),
    ("POST", "/api/v1/subscriptions/{id}/test/"): Case(202, Role.ADMIN, ids=create_subscription),
}
