"""The model of ports belongs to the room of VMs; its table stays as it is."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("networks", "0001_security_groups_and_floating_ips"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(state_operations=[migrations.DeleteModel(name="VmPort")]),
    ]
