"""The table of `VMUsage`, and the triggers that fill it.

The triggers are made in a transaction of their own, which holds the lock on the table of VMs for an instant; the VMs that
exist are counted by the next migration, without a lock.
"""

import django.db.models.deletion
from django.db import migrations, models

# One function for inserts, updates and deletes of any number of rows. A statement that changes none of the columns that are
# counted, as most writes of the sync, adds no row.
TRIGGERS = """
CREATE FUNCTION vms_count_usage() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO vms_vmusage (information_system_id, status, vms, cpu_cores, memory_gb, disk_gb)
        SELECT information_system_id, CASE WHEN binned_at IS NULL THEN status ELSE 'in_bin' END, count(*), sum(cpu_cores), sum(memory_gb), sum(disk_gb)
        FROM new_rows GROUP BY 1, 2;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO vms_vmusage (information_system_id, status, vms, cpu_cores, memory_gb, disk_gb)
        SELECT information_system_id, CASE WHEN binned_at IS NULL THEN status ELSE 'in_bin' END, -count(*), -sum(cpu_cores), -sum(memory_gb), -sum(disk_gb)
        FROM old_rows GROUP BY 1, 2;
    ELSE
        INSERT INTO vms_vmusage (information_system_id, status, vms, cpu_cores, memory_gb, disk_gb)
        SELECT information_system_id, status, sum(n), sum(n * cpu_cores), sum(n * memory_gb), sum(n * disk_gb)
        FROM (
            SELECT information_system_id, CASE WHEN binned_at IS NULL THEN status ELSE 'in_bin' END AS status, 1 AS n, cpu_cores, memory_gb, disk_gb
            FROM new_rows
            UNION ALL
            SELECT information_system_id, CASE WHEN binned_at IS NULL THEN status ELSE 'in_bin' END, -1, cpu_cores, memory_gb, disk_gb FROM old_rows
        ) AS changed
        GROUP BY information_system_id, status
        HAVING sum(n) <> 0 OR sum(n * cpu_cores) <> 0 OR sum(n * memory_gb) <> 0 OR sum(n * disk_gb) <> 0;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER vms_count_inserted AFTER INSERT ON vms_virtualmachine
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION vms_count_usage();
CREATE TRIGGER vms_count_updated AFTER UPDATE ON vms_virtualmachine
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION vms_count_usage();
CREATE TRIGGER vms_count_deleted AFTER DELETE ON vms_virtualmachine
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION vms_count_usage();
"""
NO_TRIGGERS = """
DROP TRIGGER vms_count_inserted ON vms_virtualmachine;
DROP TRIGGER vms_count_updated ON vms_virtualmachine;
DROP TRIGGER vms_count_deleted ON vms_virtualmachine;
DROP FUNCTION vms_count_usage();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0007_theme"),
        ("vms", "0010_ownership_operations"),
    ]

    operations = [
        migrations.CreateModel(
            name="VMUsage",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "information_system",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="vm_usage",
                        to="tenants.informationsystem",
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("building", "building"),
                            ("running", "running"),
                            ("stopped", "stopped"),
                            ("paused", "paused"),
                            ("suspended", "suspended"),
                            ("shelved", "shelved"),
                            ("removed", "removed"),
                            ("error", "error"),
                            ("unknown", "unknown"),
                            ("in_bin", "in the bin"),
                        ],
                        max_length=20,
                    ),
                ),
                ("vms", models.BigIntegerField()),
                ("cpu_cores", models.BigIntegerField()),
                ("memory_gb", models.BigIntegerField()),
                ("disk_gb", models.BigIntegerField()),
            ],
            options={
                "verbose_name": "VM usage",
                "verbose_name_plural": "VM usage",
                "default_permissions": (),
            },
        ),
        migrations.RunSQL(TRIGGERS, NO_TRIGGERS),
    ]
