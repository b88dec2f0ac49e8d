"""`wanted` is called `desired_state` in the code; the column keeps its name, so nothing changes in the database."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("vms", "0004_snapshots_follow_glance"),
    ]

    operations = [
        migrations.AlterField(
            model_name="virtualmachine",
            name="wanted",
            field=models.CharField(
                choices=[("running", "running"), ("stopped", "stopped"), ("removed", "removed")],
                db_column="wanted",
                default="running",
                max_length=10,
                verbose_name="desired state",
            ),
        ),
        migrations.RenameField(
            model_name="virtualmachine",
            old_name="wanted",
            new_name="desired_state",
        ),
    ]
