"""The triggers that write an event for each change of a webhook or a subscription (`events/tracking.py`)."""

from django.db import migrations

from events.tracking import TrackTable

# As in `models.DELIVERY_COLUMNS`, which may grow; this is what the triggers of this release were made with.
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


class Migration(migrations.Migration):
    dependencies = [("events", "0002_record_changes"), ("notifications", "0001_notifications")]

    operations = [
        TrackTable(
            "notifications_webhook",
            "webhook",
            hidden=("encrypted_url", "encrypted_secret", "encrypted_old_secret"),
            ignored=(*DELIVERY_COLUMNS, "secret_changed_at"),
        ),
        TrackTable(
            "notifications_subscription",
            "subscription",
            hidden=("encrypted_address", "encrypted_secret"),
            ignored=DELIVERY_COLUMNS,
        ),
    ]
