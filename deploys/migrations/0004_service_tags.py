import django.contrib.postgres.indexes
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("deploys", "0003_labels"),
        ("tenants", "0007_theme"),
    ]

    operations = [
        migrations.AddField(
            model_name="microservice",
            name="tags",
            field=models.JSONField(blank=True, db_default={}, default=dict, verbose_name="tags"),
        ),
        migrations.AddIndex(
            model_name="microservice",
            index=django.contrib.postgres.indexes.GinIndex(fields=["tags"], name="service_by_tag"),
        ),
    ]
