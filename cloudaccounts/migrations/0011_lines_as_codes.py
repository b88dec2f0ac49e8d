from django.db import migrations, models


class Migration(migrations.Migration):
    """Lines of sync logs get a code with parameters. Older lines, and those of the release before, stay texts."""

    dependencies = [("cloudaccounts", "0010_sign_in_failures")]

    operations = [
        migrations.AddField(
            model_name="synclogline",
            name="code",
            field=models.CharField(blank=True, db_default="", default="", editable=False, max_length=20),
        ),
        migrations.AddField(
            model_name="synclogline",
            name="params",
            field=models.JSONField(db_default={}, default=dict, editable=False),
        ),
    ]
