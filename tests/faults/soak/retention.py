"""Check that every table is bounded: all rows are made old, all pruning runs, and only rows of existing objects are left.

So a run of minutes shows which tables would grow for ever. Call it last: it changes the database.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.faults.framework.report import Invariant

# Longer than every retention.
AGE = "1000 days"
# The tables of what exists: their rows go when the VM, the volume, the tenant or the deployment is deleted, and quotas and
# `TENANT_ROWS_AT_MOST` bound them.
EXISTING = {
    "vms_virtualmachine",
    "vms_vmlogin",
    "vms_vmusage",
    "volumepool_volume",
    "volumepool_sparevolume",
    "volumepool_volumesnapshot",
    "cloudaccounts_cloudresource",
    "cloudaccounts_resourcelink",
    "networks_vmport",
    "events_eventchain",  # One row for each tenant.
    # One row for each account and region, type or name.
    "tasks_pollscope",
    "tasks_databaseepoch",
    "vms_syncstate",
    "volumepool_volumesyncstate",
    "cloudaccounts_synclog",  # The last success of each account and type is kept.
    "cloudaccounts_synclogline",
    "django_celery_beat_periodictask",
}
# The tables that are kept for ever on purpose, with the reason.
KEPT = {
    "vms_vmoperationlog": "who did what to which VM is the record that auditors ask for",
    "deploys_deployment": "the history of a service is shown on its page, and goes with the service",
    "deploys_deploymentitem": "it belongs to a deployment",
    "django_admin_log": "changes in the admin are the record that auditors ask for",
}
MAKE_OLD = """
    DO $$
    DECLARE found record;
    BEGIN
        -- No triggers: rows are made old as they are, and counts stay.
        SET LOCAL session_replication_role = replica;
        FOR found IN
            SELECT table_name, string_agg(format('%1$I = %1$I - interval ''{age}''', column_name), ', ') AS changes
            FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
            WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND data_type = 'timestamp with time zone'
            AND table_name NOT LIKE 'django_migrations' GROUP BY table_name
        LOOP
            EXECUTE format('UPDATE %I SET %s', found.table_name, found.changes);
        END LOOP;
    END $$
""".replace("{age}", AGE)


def make_everything_old() -> None:
    """Move every time in the database into the past."""
    from django.db import connection

    with connection.cursor() as cursor:
        # Without parameters, Django leaves the percent signs alone.
        cursor.execute(MAKE_OLD)


def prune_everything() -> None:
    """Run every task that a schedule runs to delete old rows."""
    import api.tasks
    import cloudaccounts.tasks
    import events.tasks
    import tasks.tasks
    import vms.tasks
    import volumepool.tasks

    tasks.tasks.prune()
    vms.tasks.prune_old_rows()
    vms.tasks.record_usage()
    vms.tasks.merge_usage()
    cloudaccounts.tasks.prune()
    volumepool.tasks.prune_old_rows()
    api.tasks.delete_expired_rows()
    events.tasks.number()
    events.tasks.remove_old()


def check_tables(before: Mapping[str, int], grown: Mapping[str, int], left: Mapping[str, int]) -> Invariant:
    """Check that what the run has added is gone. All three are rows by table: at first, before and after the pruning."""
    added = {table: count - before.get(table, 0) for table, count in grown.items()}
    wrong = [
        f"{table}: {left.get(table, 0)} rows are left of {grown[table]}, however old they are"
        for table, more in sorted(added.items())
        if more > 0 and left.get(table, 0) > before.get(table, 0) and table not in EXISTING | KEPT.keys()
    ]
    return Invariant(
        "every table is bounded by its retention", wrong, sum(more > 0 for more in added.values())
    )
