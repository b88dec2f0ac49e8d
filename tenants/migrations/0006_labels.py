"""Labels of columns; the database does not change."""

import api.time_zones
import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0005_time_zones"),
    ]

    operations = [
        migrations.AlterField(
            model_name="informationsystem",
            name="default_network",
            field=models.CharField(
                blank=True,
                default="",
                max_length=64,
                validators=[
                    django.core.validators.RegexValidator(
                        "^[0-9A-Za-z-]+\\Z", "Enter the OpenStack ID of a network."
                    )
                ],
                verbose_name="default network",
            ),
        ),
        migrations.AlterField(
            model_name="invitation",
            name="username",
            field=models.CharField(max_length=150, verbose_name="username"),
        ),
        migrations.AlterField(
            model_name="tenant",
            name="default_network",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="For new VMs of information systems without a default network.",
                max_length=64,
                validators=[
                    django.core.validators.RegexValidator(
                        "^[0-9A-Za-z-]+\\Z", "Enter the OpenStack ID of a network."
                    )
                ],
                verbose_name="default network",
            ),
        ),
        migrations.AlterField(
            model_name="tenant",
            name="slug",
            field=models.SlugField(
                help_text="The value of the X-Tenant header.", unique=True, verbose_name="slug"
            ),
        ),
        migrations.AlterField(
            model_name="tenant",
            name="time_zone",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Days, such as the end date of a VM, begin and end in this zone, and times are shown in it to members who have selected none. An IANA name such as Europe/Berlin. Empty = the portal's.",
                max_length=64,
                validators=[api.time_zones.validate_time_zone],
                verbose_name="time zone",
            ),
        ),
        migrations.AlterField(
            model_name="user",
            name="time_zone",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Times are shown in this zone: an IANA name such as Europe/Berlin. Empty = the tenant's.",
                max_length=64,
                validators=[api.time_zones.validate_time_zone],
                verbose_name="time zone",
            ),
        ),
    ]
