"""A released object may be any that the portal creates: what a restored database has forgotten is kept as one."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("cloudaccounts", "0016_released_ports"),
    ]

    operations = [
        migrations.AlterField(
            model_name="releasedobject",
            name="kind",
            field=models.CharField(
                choices=[
                    ("server", "server"),
                    ("volume", "volume"),
                    ("port", "port"),
                    ("security_group", "security group"),
                    ("floating_ip", "floating IP"),
                    ("server_group", "server group"),
                ],
                max_length=20,
                verbose_name="kind",
            ),
        ),
    ]
