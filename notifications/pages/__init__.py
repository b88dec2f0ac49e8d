"""The web pages of the room, a module for each subject. They change data through the services alone."""

from .subscriptions import (
    edit_subscription_page,
    new_subscription_page,
    remove_subscription_page,
    subscription_page,
    test_subscription,
)
from .webhooks import (
    edit_webhook_page,
    new_webhook_page,
    remove_webhook_page,
    send_again,
    test_webhook,
    webhook_detail_page,
    webhook_page,
    webhook_secret_page,
)

__all__ = [
    "edit_subscription_page",
    "edit_webhook_page",
    "new_subscription_page",
    "new_webhook_page",
    "remove_subscription_page",
    "remove_webhook_page",
    "send_again",
    "subscription_page",
    "test_subscription",
    "test_webhook",
    "webhook_detail_page",
    "webhook_page",
    "webhook_secret_page",
]
