"""Labels of columns; the database does not change."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("vms", "0005_desired_state"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="vmoperationlog",
            options={
                "ordering": ["-id"],
                "verbose_name": "operation",
                "verbose_name_plural": "operation log",
            },
        ),
        migrations.AlterField(
            model_name="consolereading",
            name="kind",
            field=models.CharField(choices=[("url", "URL"), ("log", "log")], max_length=5),
        ),
        migrations.AlterField(
            model_name="orphan",
            name="cloud_id",
            field=models.CharField(max_length=64, verbose_name="cloud ID"),
        ),
        migrations.AlterField(
            model_name="orphan",
            name="made_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="created"),
        ),
        migrations.AlterField(
            model_name="resize",
            name="confirms_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="confirmed automatically at"),
        ),
        migrations.AlterField(
            model_name="virtualmachine",
            name="observed_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="last synced"),
        ),
        migrations.AlterField(
            model_name="virtualmachine",
            name="openstack_id",
            field=models.CharField(blank=True, max_length=64, null=True, verbose_name="server ID"),
        ),
        migrations.AlterField(
            model_name="virtualmachine",
            name="runtime_end",
            field=models.DateField(blank=True, null=True, verbose_name="end date"),
        ),
        migrations.AlterField(
            model_name="virtualmachine",
            name="runtime_start",
            field=models.DateField(blank=True, null=True, verbose_name="start date"),
        ),
        migrations.AlterField(
            model_name="vmoperationlog",
            name="operation",
            field=models.CharField(
                choices=[
                    ("create", "Create"),
                    ("start", "Start"),
                    ("stop", "Stop"),
                    ("restart", "Restart"),
                    ("pause", "Pause"),
                    ("unpause", "Unpause"),
                    ("suspend", "Suspend"),
                    ("resume", "Resume"),
                    ("shelve", "Shelve"),
                    ("unshelve", "Unshelve"),
                    ("resize", "Resize"),
                    ("confirm_resize", "Confirm resize"),
                    ("revert_resize", "Revert resize"),
                    ("change", "Edit"),
                    ("attach", "Attach volume"),
                    ("detach", "Detach volume"),
                    ("snapshot", "Create snapshot"),
                    ("remove_snapshot", "Delete snapshot"),
                    ("console", "Open console"),
                    ("remove", "Delete"),
                    ("runtime", "Announce end date"),
                    ("sync", "Sync"),
                ],
                max_length=20,
                verbose_name="operation",
            ),
        ),
        migrations.AlterField(
            model_name="vmoperationlog",
            name="vm_id",
            field=models.UUIDField(verbose_name="VM ID"),
        ),
        migrations.AlterField(
            model_name="vmsnapshot",
            name="image_id",
            field=models.CharField(
                blank=True, max_length=64, null=True, unique=True, verbose_name="image ID"
            ),
        ),
        migrations.AlterField(
            model_name="vmsnapshot",
            name="vm_id",
            field=models.UUIDField(db_index=True, verbose_name="VM ID"),
        ),
    ]
