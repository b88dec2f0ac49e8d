"""The triggers that write an event for each change (`events/tracking.py`)."""

from django.db import migrations

from events.tracking import TrackTable


class Migration(migrations.Migration):
    dependencies = [("events", "0002_record_changes"), ("volumepool", "0009_index_of_tagged_rows")]

    operations = [
        TrackTable(
            "volumepool_volume",
            "volume",
            tenant="information_system_id",
            only=("tags", "deletion_protection"),
        ),
        TrackTable(
            "volumepool_volumepool",
            "volume_pool",
            tenant="",
            ignored=(
                "creation_seconds",
                "current_snapshot_id",
                "last_error",
                "paused_until",
                "pauses",
                "source_error",
            ),
        ),
    ]
