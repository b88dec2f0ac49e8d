"""A job keeps the trace of the request that has submitted it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tasks", "0007_messages_without_language")]

    operations = [
        migrations.AddField(
            model_name="job",
            name="traceparent",
            field=models.CharField(
                blank=True, db_default="", default="", max_length=55, verbose_name="trace"
            ),
        ),
    ]
