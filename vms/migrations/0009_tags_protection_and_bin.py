import django.contrib.postgres.indexes
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("cloudaccounts", "0011_lines_as_codes"),
        ("tenants", "0007_theme"),
        ("vms", "0008_grants_of_networks_in_use"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="virtualmachine",
            name="bin_deletes_volumes",
            field=models.BooleanField(db_default=False, default=False, editable=False),
        ),
        migrations.AddField(
            model_name="virtualmachine",
            name="bin_until",
            field=models.DateTimeField(
                blank=True, editable=False, null=True, verbose_name="in the bin until"
            ),
        ),
        migrations.AddField(
            model_name="virtualmachine",
            name="bin_was_running",
            field=models.BooleanField(db_default=False, default=False, editable=False),
        ),
        migrations.AddField(
            model_name="virtualmachine",
            name="binned_at",
            field=models.DateTimeField(
                blank=True, editable=False, null=True, verbose_name="in the bin since"
            ),
        ),
        migrations.AddField(
            model_name="virtualmachine",
            name="deletion_protection",
            field=models.BooleanField(db_default=False, default=False, verbose_name="deletion protection"),
        ),
        migrations.AddField(
            model_name="virtualmachine",
            name="tags",
            field=models.JSONField(blank=True, db_default={}, default=dict, verbose_name="tags"),
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
                    ("bin", "Move to bin"),
                    ("restore", "Restore from bin"),
                    ("runtime", "Announce end date"),
                    ("sync", "Sync"),
                ],
                max_length=20,
                verbose_name="operation",
            ),
        ),
        migrations.AddIndex(
            model_name="virtualmachine",
            index=models.Index(
                condition=models.Q(("bin_until__isnull", False)), fields=["bin_until"], name="vm_by_bin_until"
            ),
        ),
        migrations.AddIndex(
            model_name="virtualmachine",
            index=django.contrib.postgres.indexes.GinIndex(fields=["tags"], name="vm_by_tag"),
        ),
        migrations.AddConstraint(
            model_name="virtualmachine",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("bin_until", None), ("binned_at", None)),
                    models.Q(("bin_until__isnull", False), ("binned_at__isnull", False)),
                    _connector="OR",
                ),
                name="vm_bin_has_an_end",
            ),
        ),
    ]
