"""The columns, each with a default that the database keeps, so that nothing is rewritten; all of them by one statement.

Django would write a statement for each, and work out its models between them: seconds during which every request would wait
for the table. Their indexes and constraint come in `0008_checks_and_indexes_of_the_bin`, which builds them while requests go on.
"""

from django.db import migrations, models


ADD_COLUMNS = """
ALTER TABLE volumepool_volume
    ADD COLUMN bin_until timestamp with time zone NULL,
    ADD COLUMN binned_at timestamp with time zone NULL,
    ADD COLUMN deletion_protection boolean DEFAULT false NOT NULL,
    ADD COLUMN tags jsonb DEFAULT '{}'::jsonb NOT NULL
"""
DROP_COLUMNS = """
ALTER TABLE volumepool_volume DROP COLUMN bin_until, DROP COLUMN binned_at, DROP COLUMN deletion_protection, DROP COLUMN tags
"""


class Migration(migrations.Migration):
    dependencies = [
        ("cloudaccounts", "0011_lines_as_codes"),
        ("tenants", "0007_theme"),
        ("vms", "0007_usage_samples"),
        ("volumepool", "0006_labels"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(ADD_COLUMNS, DROP_COLUMNS)],
            state_operations=[
                migrations.AddField(
                    model_name="volume",
                    name="bin_until",
                    field=models.DateTimeField(
                        blank=True, editable=False, null=True, verbose_name="in the bin until"
                    ),
                ),
                migrations.AddField(
                    model_name="volume",
                    name="binned_at",
                    field=models.DateTimeField(
                        blank=True, editable=False, null=True, verbose_name="in the bin since"
                    ),
                ),
                migrations.AddField(
                    model_name="volume",
                    name="deletion_protection",
                    field=models.BooleanField(
                        db_default=False, default=False, verbose_name="deletion protection"
                    ),
                ),
                migrations.AddField(
                    model_name="volume",
                    name="tags",
                    field=models.JSONField(blank=True, db_default={}, default=dict, verbose_name="tags"),
                ),
            ],
        ),
    ]
