"""Check that every membership and invitation has a known role; the tables can be written meanwhile."""

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("tenants", "0011_auditor_role")]

    operations = [
        ValidateConstraint(model_name="invitation", name="invitation_role_known"),
        ValidateConstraint(model_name="membership", name="membership_role_known"),
    ]
