"""Whether a change of a resource was made by a job of the portal, or in the cloud."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("cloudaccounts", "0020_resource_indexes")]

    operations = [
        migrations.AddField(
            model_name="resourcechange",
            name="outside",
            field=models.BooleanField(blank=True, null=True, verbose_name="outside the portal"),
        ),
        migrations.AddField(
            model_name="resourcechange",
            name="job_id",
            field=models.UUIDField(blank=True, null=True, verbose_name="task"),
        ),
    ]
