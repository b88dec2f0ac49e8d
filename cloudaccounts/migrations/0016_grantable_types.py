from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("cloudaccounts", "0015_compute_hosts"),
    ]

    operations = [
        migrations.AlterField(
            model_name="resourcetype",
            name="catalogue",
            field=models.BooleanField(default=False, verbose_name="can be granted"),
        ),
    ]
