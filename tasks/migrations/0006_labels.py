"""Labels of columns; the database does not change."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("tasks", "0005_tenant_shares"),
    ]

    operations = [
        migrations.AlterField(
            model_name="asynctask",
            name="next_look_at",
            field=models.DateTimeField(verbose_name="next poll"),
        ),
    ]
