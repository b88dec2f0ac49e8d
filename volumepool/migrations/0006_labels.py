"""Labels of columns; the database does not change."""

import django.core.validators
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("volumepool", "0005_claims_and_orphans"),
    ]

    operations = [
        migrations.AlterField(
            model_name="claim",
            name="at",
            field=models.DateTimeField(default=django.utils.timezone.now, verbose_name="time"),
        ),
        migrations.AlterField(
            model_name="claim",
            name="made",
            field=models.PositiveIntegerField(default=0, verbose_name="created on demand"),
        ),
        migrations.AlterField(
            model_name="claim",
            name="taken",
            field=models.PositiveIntegerField(default=0, verbose_name="served from pool"),
        ),
        migrations.AlterField(
            model_name="orphanvolume",
            name="is_taken",
            field=models.BooleanField(default=False, verbose_name="in use"),
        ),
        migrations.AlterField(
            model_name="orphanvolume",
            name="seen",
            field=models.PositiveIntegerField(default=1, verbose_name="times seen"),
        ),
        migrations.AlterField(
            model_name="orphanvolume",
            name="volume_id",
            field=models.CharField(max_length=64, verbose_name="volume ID"),
        ),
        migrations.AlterField(
            model_name="poolstock",
            name="at",
            field=models.DateTimeField(default=django.utils.timezone.now, verbose_name="time"),
        ),
        migrations.AlterField(
            model_name="sparevolume",
            name="volume_id",
            field=models.CharField(
                blank=True, max_length=64, null=True, unique=True, verbose_name="volume ID"
            ),
        ),
        migrations.AlterField(
            model_name="volume",
            name="source",
            field=models.CharField(
                choices=[("pool", "served from pool"), ("created", "created")],
                default="created",
                max_length=10,
                verbose_name="source",
            ),
        ),
        migrations.AlterField(
            model_name="volume",
            name="volume_id",
            field=models.CharField(
                blank=True, max_length=64, null=True, unique=True, verbose_name="volume ID"
            ),
        ),
        migrations.AlterField(
            model_name="volumepool",
            name="desired",
            field=models.PositiveIntegerField(
                default=0,
                help_text="0 = no spares",
                validators=[django.core.validators.MaxValueValidator(1000)],
                verbose_name="desired",
            ),
        ),
        migrations.AlterField(
            model_name="volumepool",
            name="image_id",
            field=models.CharField(
                blank=True,
                default="",
                help_text="The ID of an image in the cloud. VMs that boot from a volume of it claim a spare.",
                max_length=64,
                verbose_name="image",
            ),
        ),
        migrations.AlterField(
            model_name="volumepool",
            name="max_age_days",
            field=models.PositiveIntegerField(
                default=0, help_text="0 = unlimited", verbose_name="maximum age (days)"
            ),
        ),
        migrations.AlterField(
            model_name="volumepool",
            name="max_in_flight",
            field=models.PositiveIntegerField(
                default=3,
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(50),
                ],
                verbose_name="maximum concurrent creations",
            ),
        ),
        migrations.AlterField(
            model_name="volumepool",
            name="snapshot_prefix",
            field=models.CharField(
                blank=True,
                default="",
                help_text="The newest available snapshot whose name begins with this.",
                max_length=200,
                verbose_name="snapshot name prefix",
            ),
        ),
        migrations.AlterField(
            model_name="volumepool",
            name="source_error",
            field=models.TextField(blank=True, default="", editable=False, verbose_name="snapshot problem"),
        ),
        migrations.AlterField(
            model_name="volumepool",
            name="type",
            field=models.CharField(
                help_text="The type that users select, such as igw, debian or windows.",
                max_length=50,
                validators=[django.core.validators.RegexValidator("^[a-z0-9][a-z0-9._-]*$")],
                verbose_name="type",
            ),
        ),
    ]
