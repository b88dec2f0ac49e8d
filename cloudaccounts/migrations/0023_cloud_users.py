"""Who made a change in the cloud. The defaults are the database's, so the release before can go on writing rows."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("cloudaccounts", "0022_change_index")]

    operations = [
        migrations.AddField(
            model_name="resourcechange",
            name="cloud_action",
            field=models.CharField(
                blank=True, db_default="", max_length=100, verbose_name="action in the cloud"
            ),
        ),
        migrations.AddField(
            model_name="resourcechange",
            name="cloud_user",
            field=models.CharField(
                blank=True, db_default="", max_length=255, verbose_name="user in the cloud"
            ),
        ),
    ]
