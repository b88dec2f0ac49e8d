"""The role of an auditor. The rows are checked by the next migration, because here it would lock the table."""

from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models

ROLES = [("viewer", "viewer"), ("auditor", "auditor"), ("operator", "operator"), ("admin", "administrator")]


def build_field() -> models.CharField:
    return models.CharField(choices=ROLES, default="viewer", max_length=10, verbose_name="role")


def build_constraint(name: str) -> models.CheckConstraint:
    return models.CheckConstraint(
        condition=models.Q(("role__in", [role for role, _label in ROLES])), name=name
    )


class Migration(migrations.Migration):
    dependencies = [("tenants", "0010_second_factor")]

    operations = [
        migrations.RemoveConstraint(model_name="invitation", name="invitation_role_known"),
        migrations.RemoveConstraint(model_name="membership", name="membership_role_known"),
        migrations.AlterField(model_name="invitation", name="role", field=build_field()),
        migrations.AlterField(model_name="membership", name="role", field=build_field()),
        AddConstraintNotValid(model_name="invitation", constraint=build_constraint("invitation_role_known")),
        AddConstraintNotValid(model_name="membership", constraint=build_constraint("membership_role_known")),
    ]
