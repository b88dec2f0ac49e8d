from django.db import migrations


class Migration(migrations.Migration):
    """Leave half of each page of the resource table free for updates.

    Every sync writes when a resource was seen last, into a column that no index holds. With room on the same page such an
    update touches no index at all (HOT), and the space of the row before it is used again by the next sync.
    """

    dependencies = [("cloudaccounts", "0004_resource_sync")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE cloudaccounts_cloudresource SET (fillfactor = 50)",
            "ALTER TABLE cloudaccounts_cloudresource RESET (fillfactor)",
        )
    ]
