"""A sync log's messages are stored in no language, so the log no longer keeps that of the person who requested it.

The column stays for the processes of the release before, which write and read it; the next release drops it.
"""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("cloudaccounts", "0013_released_objects")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[migrations.RemoveField(model_name="synclog", name="language")]
        ),
    ]
