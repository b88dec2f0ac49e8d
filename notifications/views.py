"""Webhooks and subscriptions over REST."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from api.idempotency import idempotent, run_idempotent
from api.preconditions import etag_of
from tasks.command_views import CommandView
from tenants.scoped_views import ScopedView
from tenants.scoping import Role, get_visible_row

from .models import Delivery, Subscription, Webhook
from .serializers import (
    ChangeSubscriptionSerializer,
    DeliverySerializer,
    NewSubscriptionSerializer,
    NewWebhookSerializer,
    SendAgainSerializer,
    SentAgainSerializer,
    SubscriptionSerializer,
    WebhookDetailSerializer,
    WebhookSecretSerializer,
    WebhookSerializer,
)
from .services import subscriptions, webhooks


class WebhookListView(CommandView, ListAPIView[Webhook]):
    """The tenant's webhooks, without their URLs."""

    queryset = Webhook.objects.all()
    serializer_class = WebhookSerializer
    search_fields = ["name"]
    ordering_fields = ["name", "created_at"]
    ordering = ["name"]

    @extend_schema(request=NewWebhookSerializer, responses={201: WebhookSecretSerializer})
    def post(self, request: Request) -> Response:
        """Create a webhook. Its secret is in this answer alone."""

        def create() -> Response:
            fields = self.validate_body(NewWebhookSerializer(data=request.data), Role.ADMIN)
            webhook, secret = webhooks.create_webhook(scope=self.scope, fields=fields)
            return Response({"webhook": WebhookSerializer(webhook).data, "secret": secret}, status=201)

        return run_idempotent(request, request.user, create, shown_once=True)


class WebhookDetailView(CommandView):
    """One webhook."""

    queryset = Webhook.objects.all()
    serializer_class = WebhookDetailSerializer
    honours_if_match = True

    @extend_schema(responses=WebhookDetailSerializer)
    def get(self, request: Request, pk: UUID) -> Response:
        """Return the webhook with its URL."""
        webhook, url = webhooks.read_webhook(scope=self.scope, webhook_id=pk)
        data = WebhookSerializer(webhook).data | {"url": url}
        return Response(data, headers={"ETag": etag_of(webhook.version)})

    @extend_schema(request=NewWebhookSerializer, responses=WebhookDetailSerializer)
    def patch(self, request: Request, pk: UUID) -> Response:
        """Change the webhook. Switched on again, it goes on where it stopped."""
        fields = self.validate_body(NewWebhookSerializer(data=request.data, partial=True), Role.ADMIN)
        if_match = request.headers.get("If-Match")
        webhooks.change_webhook(scope=self.scope, webhook_id=pk, fields=fields, if_match=if_match)
        return self.get(request, pk)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: UUID) -> Response:
        """Delete the webhook."""
        webhooks.remove_webhook(scope=self.scope, webhook_id=pk, if_match=request.headers.get("If-Match"))
        return Response(status=204)


class WebhookSecretView(CommandView):
    """The secret of a webhook."""

    queryset = Webhook.objects.all()

    @extend_schema(request=None, responses={201: WebhookSecretSerializer})
    def post(self, request: Request, pk: UUID) -> Response:
        """Create a new secret. Messages are signed with both for a day."""

        def create() -> Response:
            webhook, secret = webhooks.rotate_secret(scope=self.scope, webhook_id=pk)
            return Response({"webhook": WebhookSerializer(webhook).data, "secret": secret}, status=201)

        return run_idempotent(request, request.user, create, shown_once=True)


class WebhookTestView(CommandView):
    """A test of a webhook."""

    queryset = Webhook.objects.all()

    @extend_schema(request=None, responses={202: WebhookSerializer})
    def post(self, request: Request, pk: UUID) -> Response:
        """Have a test message sent within seconds; its result is in `tested_at` and `test_error`."""
        webhook = webhooks.test_webhook(scope=self.scope, webhook_id=pk)
        return Response(WebhookSerializer(webhook).data, status=202)


class DeliveryListView(ScopedView, ListAPIView[Delivery]):
    """The deliveries of a webhook, the newest event first."""

    queryset = Delivery.objects.all()
    serializer_class = DeliverySerializer
    filterset_fields = ["status", "code"]
    ordering_fields = ["number", "attempted_at"]
    ordering = ["-number"]

    def get_queryset(self) -> Any:
        """Return the deliveries of the webhook in the path. Raises 404, 403."""
        deliveries = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return deliveries
        webhook = get_visible_row(Webhook.objects.all(), self.scope, self.kwargs["pk"], Role.ADMIN)
        return deliveries.filter(webhook=webhook)


class SendAgainView(CommandView):
    """Events that a webhook is to get again."""

    queryset = Webhook.objects.all()

    @extend_schema(request=SendAgainSerializer, responses={202: SentAgainSerializer})
    def post(self, request: Request, pk: UUID) -> Response:
        """Send events again, with the same message IDs: those of the numbers, or all whose delivery failed."""
        fields = self.validate_body(SendAgainSerializer(data=request.data), Role.ADMIN)
        queued = webhooks.send_again(scope=self.scope, webhook_id=pk, **fields)
        return Response({"queued": queued}, status=202)


class SubscriptionListView(CommandView, ListAPIView[Subscription]):
    """The caller's own subscriptions in the tenant, and those of the tenant itself. Only administrators change the latter."""

    people_only = True
    queryset = Subscription.objects.all()
    serializer_class = SubscriptionSerializer
    search_fields = ["name"]
    ordering_fields = ["name", "created_at"]
    ordering = ["name"]

    @extend_schema(request=NewSubscriptionSerializer, responses={201: SubscriptionSerializer})
    @idempotent
    def post(self, request: Request) -> Response:
        """Create a subscription."""
        fields = self.validate_body(NewSubscriptionSerializer(data=request.data), Role.VIEWER)
        subscription = subscriptions.create_subscription(scope=self.scope, fields=fields)
        return Response(SubscriptionSerializer(subscription).data, status=201)


class SubscriptionDetailView(CommandView):
    """One subscription."""

    people_only = True
    queryset = Subscription.objects.all()
    serializer_class = SubscriptionSerializer
    honours_if_match = True

    def require_access(self, role: Role) -> None:
        """Raise 404, then for those of the tenant 403 below an administrator; one's own needs no role."""
        if self.get_object().user_id is None:
            self.scope.require(Role.ADMIN, Subscription)

    @extend_schema(responses=SubscriptionSerializer)
    def get(self, request: Request, pk: UUID) -> Response:
        """Return the subscription."""
        subscription = subscriptions.get_subscription(scope=self.scope, subscription_id=pk)
        headers = {"ETag": etag_of(subscription.version)}
        return Response(SubscriptionSerializer(subscription).data, headers=headers)

    @extend_schema(request=ChangeSubscriptionSerializer, responses=SubscriptionSerializer)
    def patch(self, request: Request, pk: UUID) -> Response:
        """Change the subscription."""
        fields = self.validate_body(
            ChangeSubscriptionSerializer(data=request.data, partial=True), Role.VIEWER
        )
        subscriptions.change_subscription(
            scope=self.scope, subscription_id=pk, fields=fields, if_match=request.headers.get("If-Match")
        )
        return self.get(request, pk)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: UUID) -> Response:
        """Delete the subscription."""
        subscriptions.remove_subscription(
            scope=self.scope, subscription_id=pk, if_match=request.headers.get("If-Match")
        )
        return Response(status=204)


class SubscriptionTestView(CommandView):
    """A test of a subscription."""

    people_only = True
    queryset = Subscription.objects.all()

    @extend_schema(request=None, responses={202: SubscriptionSerializer})
    def post(self, request: Request, pk: UUID) -> Response:
        """Have a test message sent within seconds; its result is in `tested_at` and `test_error`."""
        subscription = subscriptions.test_subscription(scope=self.scope, subscription_id=pk)
        return Response(SubscriptionSerializer(subscription).data, status=202)
