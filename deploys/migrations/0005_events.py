"""The triggers that write an event for each change (`events/tracking.py`)."""

from django.db import migrations

from events.tracking import TrackTable


class Migration(migrations.Migration):
    dependencies = [("events", "0002_record_changes"), ("deploys", "0004_service_tags")]

    operations = [
        TrackTable(
            "deploys_microservice",
            "service",
            tenant="information_system_id",
            hidden=("executor_settings",),
            ignored=("last_number",),
        ),
        TrackTable("deploys_microserviceversion", "version", tenant="service_id", hidden=("artifact_url",)),
        TrackTable("deploys_host", "host"),
        TrackTable("deploys_deploykey", "deploy_key", hidden=("encrypted_private_key",)),
        TrackTable(
            "deploys_microserviceinstance",
            "instance",
            tenant="service_id",
            ignored=("locked", "locked_by_id", "status"),
        ),
    ]
