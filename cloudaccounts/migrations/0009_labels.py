"""Labels of columns; the database does not change."""

import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("cloudaccounts", "0008_schedules_remember"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name="cloudaccount",
            name="facts",
            field=models.JSONField(
                db_default={}, default=dict, editable=False, verbose_name="facts from the cloud"
            ),
        ),
        migrations.AlterField(
            model_name="cloudaccount",
            name="resource_types",
            field=models.ManyToManyField(
                blank=True,
                help_text="The types of resources that are synced. Empty: every type of the provider.",
                related_name="accounts",
                to="cloudaccounts.resourcetype",
                verbose_name="resource types",
            ),
        ),
        migrations.AlterField(
            model_name="cloudaccount",
            name="sync_interval_minutes",
            field=models.PositiveIntegerField(
                db_default=10,
                default=10,
                help_text="0: only on request.",
                validators=[django.core.validators.MaxValueValidator(10080)],
                verbose_name="sync interval in minutes",
            ),
        ),
        migrations.AlterField(
            model_name="resourcechange",
            name="fields",
            field=models.JSONField(verbose_name="changes"),
        ),
        migrations.AlterField(
            model_name="synclog",
            name="asked_by",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="requested by",
            ),
        ),
    ]
