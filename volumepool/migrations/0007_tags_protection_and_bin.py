import django.contrib.postgres.indexes
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("cloudaccounts", "0011_lines_as_codes"),
        ("tenants", "0007_theme"),
        ("vms", "0007_usage_samples"),
        ("volumepool", "0006_labels"),
    ]

    operations = [
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
            field=models.BooleanField(db_default=False, default=False, verbose_name="deletion protection"),
        ),
        migrations.AddField(
            model_name="volume",
            name="tags",
            field=models.JSONField(blank=True, db_default={}, default=dict, verbose_name="tags"),
        ),
        migrations.AddIndex(
            model_name="volume",
            index=models.Index(
                condition=models.Q(("bin_until__isnull", False)),
                fields=["bin_until"],
                name="volume_by_bin_until",
            ),
        ),
        migrations.AddIndex(
            model_name="volume",
            index=django.contrib.postgres.indexes.GinIndex(fields=["tags"], name="volume_by_tag"),
        ),
        migrations.AddConstraint(
            model_name="volume",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("bin_until", None), ("binned_at", None)),
                    models.Q(("bin_until__isnull", False), ("binned_at__isnull", False)),
                    _connector="OR",
                ),
                name="volume_bin_has_an_end",
            ),
        ),
    ]
