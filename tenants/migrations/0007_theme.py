"""The theme of pages that a user has selected.

The release before inserts users without the column, which has a default in the database.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tenants", "0006_labels")]

    operations = [
        migrations.AddField(
            model_name="user",
            name="theme",
            field=models.CharField(
                blank=True,
                choices=[("light", "Light"), ("dark", "Dark")],
                db_default="",
                default="",
                max_length=10,
                verbose_name="theme",
            ),
        ),
    ]
