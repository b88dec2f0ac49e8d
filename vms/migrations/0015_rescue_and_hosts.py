"""A status, more operations, and the compute host. What changes the table of VMs is one statement, the last one.

Django would write a statement for each change, and work out its models between them: seconds during which every request
would wait for the table. `0019_checks_and_indexes_of_the_bin` checks the rows that exist.
"""

from django.conf import settings
from django.db import migrations, models


CHANGE_TABLE = """
ALTER TABLE vms_virtualmachine
    DROP CONSTRAINT vm_status_known,
    ADD COLUMN host varchar(255) DEFAULT '' NOT NULL,
    ADD CONSTRAINT vm_status_known CHECK (status IN ('building', 'running', 'stopped', 'paused', 'suspended', 'shelved',
        'rescue', 'removed', 'error', 'unknown')) NOT VALID
"""
CHANGE_TABLE_BACK = """
ALTER TABLE vms_virtualmachine
    DROP CONSTRAINT vm_status_known,
    DROP COLUMN host,
    ADD CONSTRAINT vm_status_known CHECK (status IN ('building', 'running', 'stopped', 'paused', 'suspended', 'shelved',
        'removed', 'error', 'unknown')) NOT VALID
"""


class Migration(migrations.Migration):
    dependencies = [
        ("cloudaccounts", "0015_compute_hosts"),
        ("tenants", "0008_hidden_columns"),
        ("vms", "0014_security_groups_and_floating_ips"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name="vmoperationlog",
            name="operation",
            field=models.CharField(
                choices=[
                    ("create", "Create"),
                    ("start", "Start"),
                    ("stop", "Stop"),
                    ("restart", "Restart"),
                    ("pause", "Pause"),
                    ("unpause", "Unpause"),
                    ("suspend", "Suspend"),
                    ("resume", "Resume"),
                    ("shelve", "Shelve"),
                    ("unshelve", "Unshelve"),
                    ("resize", "Resize"),
                    ("confirm_resize", "Confirm resize"),
                    ("revert_resize", "Revert resize"),
                    ("change", "Edit"),
                    ("attach", "Attach volume"),
                    ("detach", "Detach volume"),
                    ("attach_interface", "Attach interface"),
                    ("detach_interface", "Detach interface"),
                    ("security_groups", "Change security groups"),
                    ("attach_address", "Attach floating IP"),
                    ("detach_address", "Detach floating IP"),
                    ("snapshot", "Create snapshot"),
                    ("remove_snapshot", "Delete snapshot"),
                    ("console", "Open console"),
                    ("password", "Reset password"),
                    ("read_password", "Read password"),
                    ("rescue", "Rescue"),
                    ("unrescue", "Exit rescue"),
                    ("rebuild", "Rebuild"),
                    ("live_migrate", "Live migrate"),
                    ("migrate", "Migrate"),
                    ("evacuate", "Evacuate"),
                    ("remove", "Delete"),
                    ("bin", "Move to bin"),
                    ("restore", "Restore from bin"),
                    ("adopt", "Adopt"),
                    ("move", "Move"),
                    ("release", "Release"),
                    ("runtime", "Announce end date"),
                    ("sync", "Sync"),
                ],
                max_length=20,
                verbose_name="operation",
            ),
        ),
        migrations.AlterField(
            model_name="vmusage",
            name="status",
            field=models.CharField(
                choices=[
                    ("building", "building"),
                    ("running", "running"),
                    ("stopped", "stopped"),
                    ("paused", "paused"),
                    ("suspended", "suspended"),
                    ("shelved", "shelved"),
                    ("rescue", "in rescue mode"),
                    ("removed", "removed"),
                    ("error", "error"),
                    ("unknown", "unknown"),
                    ("in_bin", "in the bin"),
                ],
                max_length=20,
            ),
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(CHANGE_TABLE, CHANGE_TABLE_BACK)],
            state_operations=[
                migrations.RemoveConstraint(
                    model_name="virtualmachine",
                    name="vm_status_known",
                ),
                migrations.AddField(
                    model_name="virtualmachine",
                    name="host",
                    field=models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        editable=False,
                        max_length=255,
                        verbose_name="compute host",
                    ),
                ),
                migrations.AlterField(
                    model_name="virtualmachine",
                    name="status",
                    field=models.CharField(
                        choices=[
                            ("building", "building"),
                            ("running", "running"),
                            ("stopped", "stopped"),
                            ("paused", "paused"),
                            ("suspended", "suspended"),
                            ("shelved", "shelved"),
                            ("rescue", "in rescue mode"),
                            ("removed", "removed"),
                            ("error", "error"),
                            ("unknown", "unknown"),
                        ],
                        default="unknown",
                        max_length=20,
                        verbose_name="status",
                    ),
                ),
                migrations.AddConstraint(
                    model_name="virtualmachine",
                    constraint=models.CheckConstraint(
                        condition=models.Q(
                            (
                                "status__in",
                                [
                                    "building",
                                    "running",
                                    "stopped",
                                    "paused",
                                    "suspended",
                                    "shelved",
                                    "rescue",
                                    "removed",
                                    "error",
                                    "unknown",
                                ],
                            )
                        ),
                        name="vm_status_known",
                    ),
                ),
            ],
        ),
    ]
