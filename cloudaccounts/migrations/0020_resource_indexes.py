"""Indexes of tags and of the end of prepaid resources, built while syncs and requests go on."""

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

INDEXES = [
    GinIndex(fields=["tags"], name="resource_by_tag"),
    models.Index(
        fields=["paid_until"], name="resource_by_paid_until", condition=models.Q(paid_until__isnull=False)
    ),
]


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("cloudaccounts", "0019_vendor_accounts")]

    operations = [
        operation
        for index in INDEXES
        for operation in (
            migrations.RunSQL(f"DROP INDEX CONCURRENTLY IF EXISTS {index.name}", migrations.RunSQL.noop),
            AddIndexConcurrently(model_name="cloudresource", index=index),
        )
    ]
