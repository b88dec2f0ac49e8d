"""Build the indexes of the bin and of tags, and check rows that exist, while requests go on.

No statement holds a lock that a request waits for: indexes are built concurrently, and a constraint is added for new rows
first. A run that is interrupted is started again; whatever it left behind is dropped or kept.
"""

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.operations import AddConstraintNotValid, AddIndexConcurrently, ValidateConstraint
from django.db import migrations, models
from django.db.models import Q

INDEXES = [
    models.Index(condition=Q(bin_until__isnull=False), fields=["bin_until"], name="volume_by_bin_until"),
    GinIndex(fields=["tags"], name="volume_by_tag"),
]
HAS_AN_END = models.CheckConstraint(
    condition=Q(binned_at=None, bin_until=None) | Q(binned_at__isnull=False, bin_until__isnull=False),
    name="volume_bin_has_an_end",
)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("volumepool", "0007_tags_protection_and_bin"),
    ]

    operations = [
        *(
            operation
            for index in INDEXES
            for operation in (
                migrations.RunSQL(f"DROP INDEX CONCURRENTLY IF EXISTS {index.name}", migrations.RunSQL.noop),
                AddIndexConcurrently(model_name="volume", index=index),
            )
        ),
        migrations.RunSQL(
            f"ALTER TABLE volumepool_volume DROP CONSTRAINT IF EXISTS {HAS_AN_END.name}",
            migrations.RunSQL.noop,
        ),
        AddConstraintNotValid(model_name="volume", constraint=HAS_AN_END),
        ValidateConstraint(model_name="volume", name=HAS_AN_END.name),
    ]
