"""Count the VMs that exist, and build the indexes of the search and of two orders, while requests go on.

No statement holds a lock that a request waits for. A run that is interrupted leaves an invalid index behind, which the
next run drops.
"""

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.contrib.postgres.operations import AddIndexConcurrently, TrigramExtension
from django.db import migrations, models
from django.db.models.functions import Cast, Upper

# What the triggers have counted since the migration before is taken off. One statement, so one snapshot: a VM that is written
# meanwhile is in neither part, and its trigger counts it.
COUNT_VMS = """
INSERT INTO vms_vmusage (information_system_id, status, vms, cpu_cores, memory_gb, disk_gb)
SELECT information_system_id, status, sum(vms), sum(cpu_cores), sum(memory_gb), sum(disk_gb)
FROM (
    SELECT information_system_id, CASE WHEN binned_at IS NULL THEN status ELSE 'in_bin' END AS status, 1 AS vms, cpu_cores, memory_gb, disk_gb
    FROM vms_virtualmachine
    UNION ALL
    SELECT information_system_id, status, -vms, -cpu_cores, -memory_gb, -disk_gb FROM vms_vmusage
) AS compared
GROUP BY information_system_id, status
HAVING sum(vms) <> 0 OR sum(cpu_cores) <> 0 OR sum(memory_gb) <> 0 OR sum(disk_gb) <> 0
"""
INDEXES = [
    models.Index(fields=["created_at", "id"], name="vm_by_creation"),
    models.Index(fields=["ip_address", "id"], name="vm_by_address"),
    GinIndex(
        OpClass(Upper(Cast("name", models.TextField())), "gin_trgm_ops"),
        OpClass(Upper("description"), "gin_trgm_ops"),
        OpClass(Upper(Cast("openstack_id", models.TextField())), "gin_trgm_ops"),
        OpClass(
            Upper(models.Func("ip_address", function="HOST", output_field=models.TextField())), "gin_trgm_ops"
        ),
        name="vm_search",
    ),
]


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("vms", "0011_vm_usage"),
    ]

    operations = [
        migrations.RunSQL(COUNT_VMS, migrations.RunSQL.noop),
        TrigramExtension(),
        *(
            operation
            for index in INDEXES
            for operation in (
                migrations.RunSQL(f"DROP INDEX CONCURRENTLY IF EXISTS {index.name}", migrations.RunSQL.noop),
                AddIndexConcurrently(model_name="virtualmachine", index=index),
            )
        ),
    ]
