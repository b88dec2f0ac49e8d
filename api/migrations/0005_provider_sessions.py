from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("portal_api", "0004_token_limits")]

    operations = [
        migrations.AddField(
            model_name="usersession",
            name="provider_session",
            field=models.CharField(blank=True, db_default="", default="", max_length=300),
        ),
    ]
