"""The model of ports, with the table that the room of networks has created."""

import django.db.models.deletion
import django.db.models.functions.datetime
import django.utils.timezone
import uuid
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("cloudaccounts", "0015_compute_hosts"),
        ("networks", "0002_ports_belong_to_vms"),
        ("vms", "0016_clear_password"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name="VmPort",
                    fields=[
                        (
                            "id",
                            models.UUIDField(
                                default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                            ),
                        ),
                        (
                            "region",
                            models.CharField(blank=True, default="", max_length=100, verbose_name="region"),
                        ),
                        (
                            "cloud_id",
                            models.CharField(
                                blank=True, max_length=64, null=True, verbose_name="id in the cloud"
                            ),
                        ),
                        (
                            "status",
                            models.CharField(
                                choices=[("creating", "creating"), ("active", "active"), ("gone", "gone")],
                                default="creating",
                                max_length=20,
                                verbose_name="status",
                            ),
                        ),
                        (
                            "written_at",
                            models.DateTimeField(
                                db_default=django.db.models.functions.datetime.Now(),
                                default=django.utils.timezone.now,
                                editable=False,
                            ),
                        ),
                        ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="created")),
                        ("updated_at", models.DateTimeField(auto_now=True, verbose_name="updated")),
                        ("network_id", models.CharField(max_length=64, verbose_name="network")),
                        (
                            "account",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="+",
                                to="cloudaccounts.cloudaccount",
                                verbose_name="cloud account",
                            ),
                        ),
                        (
                            "vm",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="ports",
                                to="vms.virtualmachine",
                                verbose_name="virtual machine",
                            ),
                        ),
                    ],
                    options={
                        "verbose_name": "port",
                        "verbose_name_plural": "ports",
                        "db_table": "networks_vmport",
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("account", "region", "cloud_id"), name="vm_port_once"
                            ),
                            models.CheckConstraint(
                                condition=models.Q(("cloud_id", ""), _negated=True),
                                name="vm_port_unbound_is_null",
                            ),
                        ],
                    },
                ),
            ]
        ),
    ]
