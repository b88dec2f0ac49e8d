"""Index the rows that have tags, while requests go on: a list's page asks for their keys."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("vms", "0020_operation_abort_migration"),
    ]

    operations = [
        # A run that was interrupted leaves an index that is not valid.
        migrations.RunSQL("DROP INDEX CONCURRENTLY IF EXISTS vm_with_tags", migrations.RunSQL.noop),
        AddIndexConcurrently(
            model_name="virtualmachine",
            index=models.Index(fields=["information_system"], condition=~Q(tags={}), name="vm_with_tags"),
        ),
    ]
