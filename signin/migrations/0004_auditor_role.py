"""Rules may give the role of an auditor."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("signin", "0003_service_accounts"),
        ("tenants", "0012_check_roles"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="rolerule",
            name="role_rule_role_known",
        ),
        migrations.AlterField(
            model_name="rolerule",
            name="role",
            field=models.CharField(
                choices=[
                    ("viewer", "viewer"),
                    ("auditor", "auditor"),
                    ("operator", "operator"),
                    ("admin", "administrator"),
                ],
                default="viewer",
                max_length=10,
                verbose_name="role",
            ),
        ),
        migrations.AddConstraint(
            model_name="rolerule",
            constraint=models.CheckConstraint(
                condition=models.Q(("role__in", ["viewer", "auditor", "operator", "admin"])),
                name="role_rule_role_known",
            ),
        ),
    ]
