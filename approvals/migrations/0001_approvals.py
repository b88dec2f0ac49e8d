"""Policies of approval, requests that wait for it, decisions and delegations."""

import datetime
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
import uuid
from django.conf import settings
from django.db import migrations, models


from events.tracking import TrackTable


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("events", "0002_record_changes"),
        ("tasks", "0009_database_epoch"),
        ("tenants", "0008_hidden_columns"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ApprovalPolicy",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("name", models.CharField(max_length=100, verbose_name="name")),
                ("active", models.BooleanField(default=True, verbose_name="active")),
                ("commands", models.JSONField(default=list, verbose_name="commands")),
                (
                    "min_count",
                    models.PositiveIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                        verbose_name="from this number of objects",
                    ),
                ),
                (
                    "min_cpu_cores",
                    models.PositiveIntegerField(
                        blank=True, null=True, verbose_name="from this number of CPU cores"
                    ),
                ),
                (
                    "min_memory_gb",
                    models.PositiveIntegerField(blank=True, null=True, verbose_name="from this memory (GB)"),
                ),
                (
                    "min_disk_gb",
                    models.PositiveIntegerField(
                        blank=True, null=True, verbose_name="from this disk size (GB)"
                    ),
                ),
                (
                    "data_center_types",
                    models.JSONField(blank=True, default=list, verbose_name="data-center types"),
                ),
                (
                    "applies_at",
                    models.CharField(
                        choices=[
                            ("always", "at any time"),
                            ("working_hours", "during working hours"),
                            ("outside_working_hours", "outside of working hours"),
                        ],
                        default="always",
                        max_length=30,
                        verbose_name="applies",
                    ),
                ),
                (
                    "work_begins",
                    models.TimeField(default=datetime.time(9, 0), verbose_name="working hours begin"),
                ),
                (
                    "work_ends",
                    models.TimeField(default=datetime.time(18, 0), verbose_name="working hours end"),
                ),
                (
                    "valid_hours",
                    models.PositiveIntegerField(
                        default=72,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(720),
                        ],
                        verbose_name="hours until a request expires",
                    ),
                ),
                (
                    "level_count",
                    models.PositiveSmallIntegerField(
                        default=1,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(2),
                        ],
                        verbose_name="levels",
                    ),
                ),
                (
                    "level1_role",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("", "only the listed users"),
                            ("operator", "operators and administrators of the tenant"),
                            ("admin", "administrators of the tenant"),
                            ("staff", "platform administrators"),
                        ],
                        default="admin",
                        max_length=10,
                        verbose_name="first approval by",
                    ),
                ),
                (
                    "level2_role",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("", "only the listed users"),
                            ("operator", "operators and administrators of the tenant"),
                            ("admin", "administrators of the tenant"),
                            ("staff", "platform administrators"),
                        ],
                        default="",
                        max_length=10,
                        verbose_name="second approval by",
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="created"
                    ),
                ),
                ("updated_at", models.DateTimeField(auto_now=True, verbose_name="updated")),
                (
                    "tenant",
                    models.ForeignKey(
                        blank=True,
                        help_text="Empty = every tenant.",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="approval_policies",
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "approval policy",
                "verbose_name_plural": "approval policies",
                "ordering": ["name", "id"],
            },
        ),
        migrations.CreateModel(
            name="ApprovalRequest",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("operation", models.CharField(max_length=100, verbose_name="operation")),
                ("encrypted_arguments", models.TextField(editable=False)),
                ("has_tenant_scope", models.BooleanField(default=True)),
                ("command_digest", models.CharField(max_length=64)),
                ("plan", models.JSONField(verbose_name="plan")),
                ("difference", models.JSONField(default=list, verbose_name="difference")),
                ("kind", models.CharField(max_length=100, verbose_name="command")),
                ("subject", models.CharField(max_length=300, verbose_name="subject")),
                ("policies", models.JSONField(default=list, verbose_name="policies")),
                ("levels", models.JSONField(verbose_name="levels")),
                ("level", models.PositiveSmallIntegerField(default=0, verbose_name="level")),
                (
                    "waits_for_role",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("", "only the listed users"),
                            ("operator", "operators and administrators of the tenant"),
                            ("admin", "administrators of the tenant"),
                            ("staff", "platform administrators"),
                        ],
                        default="",
                        max_length=10,
                    ),
                ),
                ("reserved_vms", models.PositiveIntegerField(default=0)),
                ("reserved_cpu_cores", models.PositiveIntegerField(default=0)),
                ("reserved_memory_gb", models.PositiveIntegerField(default=0)),
                ("reserved_disk_gb", models.PositiveIntegerField(default=0)),
                ("reason", models.TextField(blank=True, default="", max_length=2000, verbose_name="reason")),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("pending", "waiting for approval"),
                            ("approved", "approved"),
                            ("rejected", "rejected"),
                            ("withdrawn", "withdrawn"),
                            ("expired", "expired"),
                        ],
                        default="pending",
                        max_length=10,
                        verbose_name="status",
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="requested"
                    ),
                ),
                ("expires_at", models.DateTimeField(verbose_name="expires")),
                ("ended_at", models.DateTimeField(blank=True, null=True, verbose_name="decided")),
                ("job_ids", models.JSONField(default=list)),
                (
                    "job",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="tasks.job",
                        verbose_name="job",
                    ),
                ),
                (
                    "requested_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="requested by",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="approval_requests",
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
                (
                    "waits_for",
                    models.ManyToManyField(
                        blank=True, related_name="+", to=settings.AUTH_USER_MODEL, verbose_name="waits for"
                    ),
                ),
            ],
            options={
                "verbose_name": "request",
                "verbose_name_plural": "requests",
                "ordering": ["-created_at", "-id"],
            },
        ),
        migrations.CreateModel(
            name="ApprovalDecision",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("approved", "approved"),
                            ("rejected", "rejected"),
                            ("withdrawn", "withdrawn"),
                            ("commented", "commented"),
                            ("broke_glass", "carried out without approval"),
                        ],
                        max_length=12,
                        verbose_name="decision",
                    ),
                ),
                ("level", models.PositiveSmallIntegerField(blank=True, null=True, verbose_name="level")),
                ("user_name", models.CharField(max_length=150, verbose_name="user")),
                (
                    "comment",
                    models.TextField(blank=True, default="", max_length=2000, verbose_name="comment"),
                ),
                ("is_void", models.BooleanField(default=False, verbose_name="void")),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="time"
                    ),
                ),
                (
                    "on_behalf_of",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="on behalf of",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
                (
                    "request",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="decisions",
                        to="approvals.approvalrequest",
                        verbose_name="request",
                    ),
                ),
            ],
            options={
                "verbose_name": "decision",
                "verbose_name_plural": "decisions",
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="PolicyApprover",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("level", models.PositiveSmallIntegerField(verbose_name="level")),
                (
                    "policy",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="approvers",
                        to="approvals.approvalpolicy",
                        verbose_name="policy",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
            ],
            options={
                "verbose_name": "approver",
                "verbose_name_plural": "approvers",
            },
        ),
        migrations.CreateModel(
            name="ApprovalDelegation",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("starts_at", models.DateTimeField(verbose_name="from")),
                ("ends_at", models.DateTimeField(verbose_name="until")),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="created"
                    ),
                ),
                (
                    "delegate",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="delegate",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
            ],
            options={
                "verbose_name": "delegation",
                "verbose_name_plural": "delegations",
                "ordering": ["starts_at", "id"],
                "indexes": [
                    models.Index(fields=["delegate", "tenant", "ends_at"], name="delegation_of_delegate")
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("ends_at__gt", models.F("starts_at"))),
                        name="delegation_has_a_length",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("user", models.F("delegate")), _negated=True),
                        name="delegation_to_somebody_else",
                    ),
                ],
            },
        ),
        migrations.AddConstraint(
            model_name="approvalpolicy",
            constraint=models.UniqueConstraint(fields=("tenant", "name"), name="approval_policy_name"),
        ),
        migrations.AddConstraint(
            model_name="approvalpolicy",
            constraint=models.UniqueConstraint(
                condition=models.Q(("tenant", None)),
                fields=("name",),
                name="approval_policy_name_of_platform",
            ),
        ),
        migrations.AddConstraint(
            model_name="approvalpolicy",
            constraint=models.CheckConstraint(
                condition=models.Q(("level_count__in", [1, 2])), name="approval_policy_levels"
            ),
        ),
        migrations.AddConstraint(
            model_name="approvalpolicy",
            constraint=models.CheckConstraint(
                condition=models.Q(("valid_hours__gte", 1), ("valid_hours__lte", 720)),
                name="approval_policy_valid_hours",
            ),
        ),
        migrations.AddIndex(
            model_name="approvalrequest",
            index=models.Index(fields=["tenant", "-created_at"], name="approval_request_newest"),
        ),
        migrations.AddIndex(
            model_name="approvalrequest",
            index=models.Index(
                condition=models.Q(("status", "pending")),
                fields=["expires_at"],
                name="approval_request_pending",
            ),
        ),
        migrations.AddConstraint(
            model_name="approvalrequest",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("status__in", ["pending", "approved", "rejected", "withdrawn", "expired"])
                ),
                name="approval_request_status_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="approvalrequest",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("ended_at", None), ("status", "pending")),
                    models.Q(models.Q(("status", "pending"), _negated=True), ("ended_at__isnull", False)),
                    _connector="OR",
                ),
                name="approval_request_ends_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="approvalrequest",
            constraint=models.UniqueConstraint(
                condition=models.Q(("status", "pending")),
                fields=("tenant", "command_digest"),
                name="approval_request_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="approvaldecision",
            constraint=models.UniqueConstraint(
                condition=models.Q(("is_void", False), ("kind", "approved")),
                fields=("request", "level"),
                name="approval_once_per_level",
            ),
        ),
        migrations.AddConstraint(
            model_name="approvaldecision",
            constraint=models.UniqueConstraint(
                condition=models.Q(("is_void", False), ("kind", "approved")),
                fields=("request", "user"),
                name="approval_once_per_user",
            ),
        ),
        migrations.AddConstraint(
            model_name="policyapprover",
            constraint=models.UniqueConstraint(
                fields=("policy", "level", "user"), name="approver_once_per_level"
            ),
        ),
        TrackTable("approvals_approvalpolicy", "approval_policy"),
        TrackTable("approvals_policyapprover", "approver"),
        TrackTable("approvals_approvaldelegation", "approval_delegation"),
    ]
