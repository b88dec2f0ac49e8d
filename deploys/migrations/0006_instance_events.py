"""Deployments lock instances and write their status all the time: the trigger for events is called for other columns alone."""

from django.db import migrations

from events.tracking import TrackTable


class Migration(migrations.Migration):
    dependencies = [("deploys", "0005_events")]

    operations = [
        TrackTable(
            "deploys_microserviceinstance",
            "instance",
            tenant="service_id",
            ignored=("locked", "locked_by_id", "status"),
            updates_of=(
                "service_id",
                "version_id",
                "host_id",
                "port",
                "tag",
                "weight",
                "description",
                "is_maintain",
            ),
        ),
    ]
