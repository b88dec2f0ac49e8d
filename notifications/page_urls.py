"""Addresses of the pages of notifications."""

from django.urls import path

from . import pages

urlpatterns = [
    path("webhooks/", pages.webhook_page, name="webhook-page"),
    path("webhooks/new/", pages.new_webhook_page, name="webhook-new"),
    path("webhooks/<uuid:pk>/", pages.webhook_detail_page, name="webhook-detail-page"),
    path("webhooks/<uuid:pk>/edit/", pages.edit_webhook_page, name="webhook-edit"),
    path("webhooks/<uuid:pk>/secret/", pages.webhook_secret_page, name="webhook-secret-page"),
    path("webhooks/<uuid:pk>/remove/", pages.remove_webhook_page, name="webhook-remove"),
    path("webhooks/<uuid:pk>/test/", pages.test_webhook, name="webhook-test-page"),
    path("webhooks/<uuid:pk>/redeliver/", pages.send_again, name="webhook-send-again"),
    path("notifications/", pages.subscription_page, name="subscription-page"),
    path("notifications/new/", pages.new_subscription_page, name="subscription-new"),
    path("notifications/<uuid:pk>/edit/", pages.edit_subscription_page, name="subscription-edit"),
    path("notifications/<uuid:pk>/remove/", pages.remove_subscription_page, name="subscription-remove"),
    path("notifications/<uuid:pk>/test/", pages.test_subscription, name="subscription-test-page"),
]
