"""A job's messages are stored in no language, so the job no longer keeps that of the person who started it.

The column stays for the processes of the release before, which write and read it; the next release drops it.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tasks", "0006_labels")]

    operations = [
        migrations.AlterField(
            model_name="job",
            name="language",
            field=models.CharField(
                blank=True, db_default="", default="", max_length=10, verbose_name="language"
            ),
        ),
        migrations.SeparateDatabaseAndState(
            state_operations=[migrations.RemoveField(model_name="job", name="language")]
        ),
    ]
