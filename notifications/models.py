"""Readers of a tenant's events, and what was delivered to them.

A webhook tells a program, and a subscription tells people. Both read the feed of one tenant from a position on, so nothing is
forgotten while a receiver is away, and a kill between sending and storing the position repeats a message rather than lose it.
"""

from __future__ import annotations

import secrets
import uuid
from base64 import b64encode
from datetime import timedelta
from typing import ClassVar, Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from security.encryption import decrypt, encrypt
from tenants.models import Tenant
from tenants.scoping import Scope, TenantScopedQuerySet

# Standard Webhooks: 24 to 64 random bytes, written in base64 behind this prefix.
SECRET_PREFIX = "whsec_"  # noqa: S105 - what each secret begins with.
SECRET_BYTES = 32
# The old secret signs beside the new one for this long, so that a receiver can change at its own time.
OLD_SECRET_VALID = timedelta(days=1)
MAX_PATTERNS = 50
MAX_PATTERN_LENGTH = 80
MAX_ERROR_LENGTH = 500
# What the portal itself writes while it delivers, and no person changes.
DELIVERY_COLUMNS = (
    "position",
    "attempts",
    "due_at",
    "failing_since",
    "last_error",
    "delivered_at",
    "test_requested_at",
    "tested_at",
    "test_error",
    "version",
    "updated_at",
)


class FeedReader(models.Model):
    """What every reader of a feed has: the events that it wants, its position, and how its receiver does.

    `position` is the number of the last event that was delivered, given up or not wanted. While its receiver fails, a reader
    stays at its position and is tried again at `due_at`, so events arrive in their order.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    codes = ArrayField(models.CharField(max_length=MAX_PATTERN_LENGTH), verbose_name=_("events"))
    active = models.BooleanField(_("active"), default=True)
    position = models.BigIntegerField(default=0, editable=False)
    attempts = models.PositiveIntegerField(default=0, editable=False)
    due_at = models.DateTimeField(null=True, editable=False)
    failing_since = models.DateTimeField(_("failing since"), null=True, editable=False)
    last_error = models.CharField(
        _("last error"), max_length=MAX_ERROR_LENGTH, default="", blank=True, editable=False
    )
    delivered_at = models.DateTimeField(_("last delivered"), null=True, editable=False)
    # Set when the portal itself has switched the reader off, because its receiver failed for days.
    switched_off_at = models.DateTimeField(_("switched off"), null=True, editable=False)
    # A test is requested by a time, and has ended when its result is of a later time.
    test_requested_at = models.DateTimeField(null=True, editable=False)
    tested_at = models.DateTimeField(_("tested"), null=True, editable=False)
    test_error = models.CharField(max_length=MAX_ERROR_LENGTH, default="", blank=True, editable=False)
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    class Meta:
        abstract = True


class WebhookQuerySet(TenantScopedQuerySet):
    """Webhooks of tenants."""


class Webhook(FeedReader):
    """A URL of a program to which the events of a tenant are posted, signed as Standard Webhooks has it."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="webhooks", verbose_name=_("tenant"))
    name = models.CharField(_("name"), max_length=100)
    # Many receivers expect a token in the URL, so all of it is a secret.
    encrypted_url = models.TextField(editable=False)
    encrypted_secret = models.TextField(editable=False)
    encrypted_old_secret = models.TextField(default="", editable=False)
    secret_changed_at = models.DateTimeField(null=True, editable=False)

    objects = WebhookQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        verbose_name = _("webhook")
        verbose_name_plural = _("webhooks")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["tenant", "name"], name="webhook_name_unique_in_tenant")
        ]

    def __str__(self) -> str:
        return self.name

    def set_url(self, plain: str) -> None:
        """Encrypt a URL and put it into the row; the caller saves."""
        self.encrypted_url = encrypt(plain)

    def decrypt_url(self) -> str:
        """Return the URL. Raises `UnreadableSecretError`."""
        return decrypt(self.encrypted_url)

    def set_new_secret(self) -> str:
        """Put a new random secret into the row and return it; the caller saves."""
        secret = SECRET_PREFIX + b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
        self.encrypted_old_secret, self.encrypted_secret = self.encrypted_secret, encrypt(secret)
        return secret


class DeliveryQuerySet(TenantScopedQuerySet):
    """Deliveries of webhooks."""

    tenant_path: ClassVar[str] = "webhook__tenant"


class Delivery(models.Model):
    """The delivery of one event to one webhook, with the result of its last attempt."""

    class Status(models.TextChoices):
        RETRYING = "retrying", _("retrying")
        DELIVERED = "delivered", _("delivered")
        # Given up after a day of attempts. It can be sent again by hand.
        FAILED = "failed", _("failed")
        # To be sent again by hand, whatever the position of the webhook is.
        QUEUED = "queued", _("queued")

    id = models.BigAutoField(primary_key=True)
    webhook = models.ForeignKey(Webhook, models.CASCADE, related_name="deliveries", verbose_name=_("webhook"))
    number = models.BigIntegerField(_("number"))
    code = models.CharField(_("event"), max_length=80)
    status = models.CharField(_("status"), max_length=10, choices=Status.choices)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    response_status = models.PositiveSmallIntegerField(_("response"), null=True)
    error = models.CharField(_("error"), max_length=MAX_ERROR_LENGTH, default="", blank=True)
    milliseconds = models.PositiveIntegerField(_("duration (ms)"), null=True)
    # Of the first attempt: what is tried for a day ends a day after it.
    began_at = models.DateTimeField(_("first attempt"))
    attempted_at = models.DateTimeField(_("last attempt"))

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        ordering = ["-number"]
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["webhook", "number"], name="delivery_once_of_an_event")
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["webhook", "number"], condition=Q(status="queued"), name="delivery_queued"),
            models.Index(fields=["attempted_at"], name="delivery_attempted_at"),
        ]

    def __str__(self) -> str:
        return f"{self.number} {self.code}: {self.status}"


class SubscriptionQuerySet(TenantScopedQuerySet):
    """Subscriptions: a person's own are seen by that person alone, those of a tenant by its members."""

    def within(self, scope: Scope) -> Self:
        """Return the caller's own subscriptions in the scope, and those of the tenant."""
        return super().within(scope).filter(Q(user=scope.user) | Q(user=None))


class Subscription(FeedReader):
    """Messages about the events of a tenant: to the person who has subscribed (`user`), or to a place of the tenant's.

    A person's mail goes to the address of the account; a tenant's has addresses of its own. A chat has the URL of its robot.
    """

    class Channel(models.TextChoices):
        MAIL = "mail", _("mail")
        CHAT = "chat", _("chat")

    class Timing(models.TextChoices):
        AT_ONCE = "at_once", pgettext_lazy("timing of messages", "at once")
        HOURLY = "hourly", _("every hour")
        DAILY = "daily", _("once a day")

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="subscriptions", verbose_name=_("tenant"))
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="subscriptions",
        verbose_name=_("user"),
    )
    name = models.CharField(_("name"), max_length=100)
    channel = models.CharField(_("channel"), max_length=10, choices=Channel.choices)
    # Addresses of mail, separated by commas, or the URL of a chat's robot, which has its token.
    encrypted_address = models.TextField(default="", blank=True, editable=False)
    # The secret with which messages to a robot are signed, for chats that check it.
    encrypted_secret = models.TextField(default="", blank=True, editable=False)
    only_own = models.BooleanField(
        _("only my own"), default=False, help_text=_("Only events of what the subscriber has done.")
    )
    timing = models.CharField(_("timing"), max_length=10, choices=Timing.choices, default=Timing.AT_ONCE)
    # No message is sent between these times of the day, in the time zone of the user or else of the tenant.
    quiet_from = models.TimeField(_("quiet from"), null=True, blank=True)
    quiet_to = models.TimeField(_("quiet to"), null=True, blank=True)
    # The language of messages to a tenant's place; a person's are in the language of the account.
    language = models.CharField(_("language"), max_length=10, blank=True, default="")

    objects = SubscriptionQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        verbose_name = _("subscription")
        verbose_name_plural = _("subscriptions")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["tenant", "user", "name"], name="subscription_name_of_user_unique"
            ),
            models.UniqueConstraint(
                fields=["tenant", "name"], condition=Q(user=None), name="subscription_name_of_tenant_unique"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def set_address(self, plain: str) -> None:
        """Encrypt an address and put it into the row; the caller saves."""
        self.encrypted_address = encrypt(plain)

    def decrypt_address(self) -> str:
        """Return the address. Raises `UnreadableSecretError`."""
        return decrypt(self.encrypted_address)


class DeliveryRun(models.Model):
    """The one row whose lease says which worker delivers."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    owner = models.CharField(max_length=200, default="")
    lease_until = models.DateTimeField(null=True)
    # Members who have joined until then have their first subscription (defaults.py).
    members_seen_at = models.DateTimeField(db_default=Now())
    # Those among them who have joined shortly before: somebody who joined before them may become visible after them.
    members_seen = ArrayField(models.UUIDField(), default=list)

    class Meta:
        verbose_name = _("delivery run")
        verbose_name_plural = _("delivery runs")

    def __str__(self) -> str:
        return self.owner or "-"


def match_codes(patterns: list[str]) -> Q:
    """Return the condition that the code of an event fits one of the patterns: a code, or its beginning and `*`."""
    found = Q(pk__in=[])
    for pattern in patterns:
        if pattern == "*":
            return Q()
        found |= Q(code__startswith=pattern[:-1]) if pattern.endswith("*") else Q(code=pattern)
    return found
