from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("cloudaccounts", "0009_labels")]

    operations = [
        migrations.AddField(
            model_name="cloudaccount",
            name="sign_in_failed_at",
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name="sign-in failed"),
        ),
    ]
