"""The record by which a restored database is recognized, and the trigger that refuses new jobs in one (tasks/restore_guard.py).

The lock on the table of jobs that the trigger needs is held for an instant; a request that holds the table for longer makes
the migration fail within two seconds instead of letting all others wait behind it. Start it again then.
"""

import uuid

import django.utils.timezone
from django.db import migrations, models

# The id of the cluster comes from `initdb`, those of the database and the table from this database; a dump restores none.
# Children of a job that runs are not refused: their parent would be undone.
CREATE_TRIGGER = """
SET LOCAL lock_timeout = '2s';
CREATE FUNCTION tasks_database_identity() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT concat_ws('/', (SELECT system_identifier FROM pg_control_system()),
        (SELECT oid FROM pg_database WHERE datname = current_database()), 'tasks_databaseepoch'::regclass::oid)
$$;
CREATE FUNCTION tasks_refuse_after_restore() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM new_jobs WHERE parent_id IS NULL) AND EXISTS (
        SELECT FROM tasks_databaseepoch WHERE suspended_at IS NOT NULL OR identity <> tasks_database_identity()
    ) THEN
        RAISE EXCEPTION 'The database was restored from a backup and was not checked yet.'
            USING ERRCODE = 'PR001', HINT = 'manage.py check_restore';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER tasks_refuse_after_restore AFTER INSERT ON tasks_job
    REFERENCING NEW TABLE AS new_jobs FOR EACH STATEMENT EXECUTE FUNCTION tasks_refuse_after_restore();
"""
DROP_TRIGGER = """
DROP TRIGGER tasks_refuse_after_restore ON tasks_job;
DROP FUNCTION tasks_refuse_after_restore();
DROP FUNCTION tasks_database_identity();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("tasks", "0008_traceparent"),
    ]

    operations = [
        migrations.CreateModel(
            name="DatabaseEpoch",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("installation", models.UUIDField(default=uuid.uuid4, editable=False)),
                ("identity", models.CharField(max_length=100)),
                ("epoch", models.BigIntegerField(default=0)),
                ("recorded_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("suspended_at", models.DateTimeField(blank=True, null=True)),
                ("reason", models.TextField(blank=True, default="")),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("id", 1)), name="database_epoch_is_one_row")
                ],
            },
        ),
        migrations.RunSQL(CREATE_TRIGGER, DROP_TRIGGER),
    ]
