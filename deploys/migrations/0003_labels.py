"""Labels of columns; the database does not change."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("deploys", "0002_field_labels"),
    ]

    operations = [
        migrations.AlterField(
            model_name="microservice",
            name="health_contains",
            field=models.CharField(
                blank=True,
                default="",
                help_text="{version} is replaced by the label, so that an old process that still answers is not taken for the new one.",
                max_length=200,
                verbose_name="expected response text",
            ),
        ),
    ]
