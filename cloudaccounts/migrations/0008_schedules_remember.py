from django.db import migrations

# What the accounts remembered about their schedules goes to the schedules, so that an operator's changes are kept.
COPY = """
    UPDATE django_celery_beat_periodictask AS task
    SET headers = jsonb_build_object('account_schedule', jsonb_build_object(
        'minutes', account.scheduled_minutes, 'resume', account.resume_schedule))::text
    FROM cloudaccounts_cloudaccount AS account
    WHERE task.task = 'cloudaccounts.sync_account' AND task.name = 'CloudAccount-' || account.id || '-sync'
"""


class Migration(migrations.Migration):
    """A schedule remembers what was last written to it. The columns stay for the release before, which still runs."""

    dependencies = [
        ("cloudaccounts", "0007_interface_clock_and_unreadable"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [migrations.RunSQL(COPY, migrations.RunSQL.noop)]
