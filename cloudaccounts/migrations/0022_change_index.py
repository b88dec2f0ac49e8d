"""An index of the changes that were made in the cloud, built while syncs and requests go on."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

INDEX = models.Index(fields=["id"], name="change_from_outside", condition=models.Q(outside=True))


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("cloudaccounts", "0021_change_origins")]

    operations = [
        migrations.RunSQL(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX.name}", migrations.RunSQL.noop),
        AddIndexConcurrently(model_name="resourcechange", index=INDEX),
    ]
