"""Accounts of other vendors than OpenStack, and the attributes that resources of all clouds have in common.

The next sync of each type fills the columns: the digest of every resource differs from the stored one.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("cloudaccounts", "0018_events"),
    ]

    operations = [
        migrations.AddField(
            model_name="cloudaccount",
            name="options",
            field=models.JSONField(
                blank=True, db_default={}, default=dict, editable=False, verbose_name="options"
            ),
        ),
        migrations.AddField(
            model_name="cloudresource",
            name="created_in_cloud_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="created"),
        ),
        migrations.AddField(
            model_name="cloudresource",
            name="paid_until",
            field=models.DateTimeField(blank=True, null=True, verbose_name="paid until"),
        ),
        migrations.AddField(
            model_name="cloudresource",
            name="size_gb",
            field=models.BigIntegerField(blank=True, null=True, verbose_name="size in GB"),
        ),
        migrations.AddField(
            model_name="cloudresource",
            name="state",
            field=models.CharField(
                blank=True,
                choices=[
                    ("running", "running"),
                    ("stopped", "stopped"),
                    ("available", "available"),
                    ("in_use", "in use"),
                    ("changing", "changing"),
                    ("deleting", "being deleted"),
                    ("deleted", "deleted"),
                    ("error", "error"),
                ],
                db_default="",
                default="",
                max_length=20,
                verbose_name="state",
            ),
        ),
        migrations.AddField(
            model_name="cloudresource",
            name="tags",
            field=models.JSONField(blank=True, db_default={}, default=dict, verbose_name="tags"),
        ),
        migrations.AlterField(
            model_name="cloudaccount",
            name="auth_url",
            field=models.URLField(
                blank=True, db_default="", default="", max_length=500, verbose_name="auth URL"
            ),
        ),
    ]
