"""The columns, each with a default that the database keeps, so that nothing is rewritten; all of them by one statement.

Django would write a statement for each, and work out its models between them: seconds during which every request would wait
for the table. Their indexes and constraint come in `0019_checks_and_indexes_of_the_bin`, which builds them while requests go on.
"""

from django.conf import settings
from django.db import migrations, models


ADD_COLUMNS = """
ALTER TABLE vms_virtualmachine
    ADD COLUMN bin_deletes_volumes boolean DEFAULT false NOT NULL,
    ADD COLUMN bin_until timestamp with time zone NULL,
    ADD COLUMN bin_was_running boolean DEFAULT false NOT NULL,
    ADD COLUMN binned_at timestamp with time zone NULL,
    ADD COLUMN deletion_protection boolean DEFAULT false NOT NULL,
    ADD COLUMN tags jsonb DEFAULT '{}'::jsonb NOT NULL
"""
DROP_COLUMNS = """
ALTER TABLE vms_virtualmachine DROP COLUMN bin_deletes_volumes, DROP COLUMN bin_until, DROP COLUMN bin_was_running,
    DROP COLUMN binned_at, DROP COLUMN deletion_protection, DROP COLUMN tags
"""


class Migration(migrations.Migration):
    dependencies = [
        ("cloudaccounts", "0011_lines_as_codes"),
        ("tenants", "0007_theme"),
        ("vms", "0008_grants_of_networks_in_use"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
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
        # Last: its lock is held until the end of the migration.
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(ADD_COLUMNS, DROP_COLUMNS)],
            state_operations=[
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
                    field=models.BooleanField(
                        db_default=False, default=False, verbose_name="deletion protection"
                    ),
                ),
                migrations.AddField(
                    model_name="virtualmachine",
                    name="tags",
                    field=models.JSONField(blank=True, db_default={}, default=dict, verbose_name="tags"),
                ),
            ],
        ),
    ]
