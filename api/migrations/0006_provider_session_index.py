from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    # Without a transaction: the index is built while sessions are written.
    atomic = False

    dependencies = [("portal_api", "0005_provider_sessions")]

    operations = [
        AddIndexConcurrently(
            model_name="usersession",
            index=models.Index(
                fields=["provider_session"],
                name="user_session_by_provider",
                condition=models.Q(("provider_session", ""), _negated=True),
            ),
        ),
    ]
