from django.db import migrations


def drop_common_schedule(apps, schema_editor):
    """Remove the schedule that was for all accounts together: each has its own now, and nothing answers to the old name."""
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(
        name="cloudaccounts.sync_catalogue"
    ).delete()


class Migration(migrations.Migration):
    """From one schedule for all accounts to one for each, which the sweep writes within half a minute."""

    dependencies = [
        ("cloudaccounts", "0005_room_for_updates"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [migrations.RunPython(drop_common_schedule, migrations.RunPython.noop)]
