"""The triggers that write an event for each change (`events/tracking.py`)."""

from django.db import migrations

from events.tracking import TrackTable


class Migration(migrations.Migration):
    dependencies = [("events", "0002_record_changes"), ("cloudaccounts", "0017_forgotten_objects")]

    operations = [
        TrackTable(
            "cloudaccounts_cloudaccount",
            "cloud_account",
            hidden=("encrypted_secret",),
            ignored=(
                "clock_offsets",
                "facts",
                "last_error",
                "last_verified_at",
                "resume_schedule",
                "scheduled_minutes",
                "sign_in_failed_at",
            ),
        ),
        TrackTable("cloudaccounts_cataloguegrant", "catalogue_grant"),
    ]
