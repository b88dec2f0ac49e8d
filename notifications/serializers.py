"""Serializers of webhooks, deliveries and subscriptions."""

from __future__ import annotations

import re
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from api.read_serializers import ReadOnlyModelSerializer
from api.serializers import PlainCharField, StrictSerializer

from .models import MAX_PATTERN_LENGTH, MAX_PATTERNS, Delivery, Subscription, Webhook
from .services.webhooks import MAX_SENT_AGAIN

MAX_URL_LENGTH = 2000
_PATTERN = re.compile(r"\*|[a-z_]+(\.[a-z_]+)*(\.?\*)?", re.ASCII)
CODES_HELP = "Codes of events, such as `task.failed`; with `*` at the end, all that begin so; `*` for all."


class CodesField(serializers.ListField):
    """Codes of events, or their beginnings and `*`. Returned sorted, each once."""

    default_error_messages = {
        "pattern": _("This is no code of an event, such as task.failed or vm.*: '%(code)s'.")
    }

    def __init__(self, **options: Any) -> None:
        options.setdefault("help_text", CODES_HELP)
        child = serializers.CharField(max_length=MAX_PATTERN_LENGTH)
        super().__init__(child=child, min_length=1, max_length=MAX_PATTERNS, **options)

    def to_internal_value(self, data: Any) -> list[str]:
        """Return the patterns. Raises a validation error with the first malformed one."""
        codes = super().to_internal_value(data)
        for code in codes:
            if not _PATTERN.fullmatch(code):
                message = self.error_messages["pattern"] % {"code": code}
                raise serializers.ValidationError(message, code="pattern")
        return sorted(set(codes))


class WebhookSerializer(ReadOnlyModelSerializer[Webhook]):
    """A webhook. Its secret is returned once, when it is created or rotated; its URL only to those who open it alone."""

    class Meta:
        model = Webhook
        fields = [
            "id",
            "name",
            "codes",
            "active",
            "position",
            "failing_since",
            "last_error",
            "delivered_at",
            "switched_off_at",
            "test_requested_at",
            "tested_at",
            "test_error",
            "secret_changed_at",
            "version",
            "created_at",
            "updated_at",
        ]


class WebhookDetailSerializer(WebhookSerializer):
    """A webhook with its URL, for administrators of its tenant."""

    url = serializers.CharField()

    class Meta(WebhookSerializer.Meta):
        optional_fields = frozenset({"url"})
        fields = [*WebhookSerializer.Meta.fields, "url"]


class WebhookSecretSerializer(serializers.Serializer[Any]):
    """A webhook and its new secret, which is shown this once."""

    webhook = WebhookSerializer()
    secret = serializers.CharField()


class NewWebhookSerializer(StrictSerializer):
    """A webhook: where events are posted to, and which."""

    name = PlainCharField(max_length=100)
    url = PlainCharField(max_length=MAX_URL_LENGTH)
    codes = CodesField()
    active = serializers.BooleanField(required=False)


class DeliverySerializer(ReadOnlyModelSerializer[Delivery]):
    """The delivery of one event. `response_status` is that of the receiver's last answer, null without one."""

    class Meta:
        model = Delivery
        fields = [
            "number",
            "code",
            "status",
            "attempts",
            "response_status",
            "error",
            "milliseconds",
            "began_at",
            "attempted_at",
        ]


class SendAgainSerializer(StrictSerializer):
    """The numbers of the events to send again; without them, all whose delivery failed."""

    numbers = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=2**63 - 1),
        min_length=1,
        max_length=MAX_SENT_AGAIN,
        required=False,
    )


class SentAgainSerializer(serializers.Serializer[Any]):
    """How many events will be sent again."""

    queued = serializers.IntegerField()


class SubscriptionSerializer(ReadOnlyModelSerializer[Subscription]):
    """A subscription. `shared` is one of the tenant's, else it is the caller's own. Addresses are never returned."""

    shared = serializers.SerializerMethodField()

    class Meta:
        model = Subscription
        fields = [
            "id",
            "name",
            "shared",
            "channel",
            "codes",
            "only_own",
            "timing",
            "quiet_from",
            "quiet_to",
            "language",
            "active",
            "failing_since",
            "last_error",
            "delivered_at",
            "switched_off_at",
            "test_requested_at",
            "tested_at",
            "test_error",
            "version",
            "created_at",
            "updated_at",
        ]

    def get_shared(self, subscription: Subscription) -> bool:
        return subscription.user_id is None


class ChangeSubscriptionSerializer(StrictSerializer):
    """A subscription: which events, where to, and when."""

    name = PlainCharField(max_length=100)
    channel = serializers.ChoiceField(choices=Subscription.Channel.choices)
    address = PlainCharField(
        max_length=MAX_URL_LENGTH,
        required=False,
        allow_blank=True,
        help_text="Of a chat, the URL of its robot; of shared mail, addresses with commas between them. Blank keeps the present one.",
    )
    secret = PlainCharField(
        max_length=200,
        required=False,
        allow_blank=True,
        help_text="With which messages to a robot are signed.",
    )
    codes = CodesField()
    only_own = serializers.BooleanField(required=False)
    timing = serializers.ChoiceField(choices=Subscription.Timing.choices, required=False)
    quiet_from = serializers.TimeField(required=False, allow_null=True)
    quiet_to = serializers.TimeField(required=False, allow_null=True)
    active = serializers.BooleanField(required=False)


class NewSubscriptionSerializer(ChangeSubscriptionSerializer):
    """A new subscription: the caller's own, or with `shared` one of the tenant's, which takes an administrator."""

    shared = serializers.BooleanField(default=False)
