import django.db.models.deletion
import django.utils.timezone
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0008_hidden_columns"),
        ("vms", "0012_search_and_orders"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="PasswordReading",
            fields=[
                (
                    "vm",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="password_reading",
                        serialize=False,
                        to="vms.virtualmachine",
                    ),
                ),
                ("encrypted_text", models.TextField(blank=True, default="")),
                ("read_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "verbose_name": "password reading",
                "verbose_name_plural": "password readings",
            },
        ),
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
                    ("snapshot", "Create snapshot"),
                    ("remove_snapshot", "Delete snapshot"),
                    ("console", "Open console"),
                    ("password", "Reset password"),
                    ("read_password", "Read password"),
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
        migrations.CreateModel(
            name="PasswordReset",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("encrypted_password", models.TextField()),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "vm",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="password_resets",
                        to="vms.virtualmachine",
                    ),
                ),
            ],
            options={
                "verbose_name": "password reset",
                "verbose_name_plural": "password resets",
            },
        ),
        migrations.CreateModel(
            name="VMLogin",
            fields=[
                (
                    "vm",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="login",
                        serialize=False,
                        to="vms.virtualmachine",
                    ),
                ),
                ("ssh_keys", models.JSONField(default=list)),
                ("key_name", models.CharField(blank=True, default="", max_length=255)),
                ("deploy_public_key", models.TextField(blank=True, default="")),
                ("encrypted_user_data", models.TextField(blank=True, default="")),
                ("config_drive", models.BooleanField(blank=True, null=True)),
            ],
            options={
                "verbose_name": "login of a VM",
                "verbose_name_plural": "logins of VMs",
                "indexes": [
                    models.Index(
                        condition=models.Q(("key_name", ""), _negated=True),
                        fields=["key_name"],
                        name="vm_login_by_key_name",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="SSHKey",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("name", models.CharField(max_length=100, verbose_name="name")),
                ("public_key", models.TextField(editable=False, verbose_name="public key")),
                ("type", models.CharField(editable=False, max_length=50, verbose_name="type")),
                ("bits", models.PositiveIntegerField(editable=False, verbose_name="bits")),
                ("fingerprint", models.CharField(editable=False, max_length=60, verbose_name="fingerprint")),
                (
                    "last_used_at",
                    models.DateTimeField(blank=True, editable=False, null=True, verbose_name="last used"),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="created")),
                (
                    "tenant",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="ssh_keys",
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="ssh_keys",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
            ],
            options={
                "verbose_name": "SSH key",
                "verbose_name_plural": "SSH keys",
                "ordering": ["name", "id"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("tenant__isnull", False), ("user", None)),
                            models.Q(("tenant", None), ("user__isnull", False)),
                            _connector="OR",
                        ),
                        name="ssh_key_has_one_owner",
                    ),
                    models.UniqueConstraint(fields=("user", "fingerprint"), name="ssh_key_once_of_a_user"),
                    models.UniqueConstraint(
                        fields=("tenant", "fingerprint"), name="ssh_key_once_of_a_tenant"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="UserDataTemplate",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("name", models.CharField(max_length=100, verbose_name="name")),
                ("encrypted_text", models.TextField(editable=False)),
                ("version", models.PositiveIntegerField(default=1, editable=False)),
                ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="created")),
                ("updated_at", models.DateTimeField(auto_now=True, verbose_name="updated")),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="user_data_templates",
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
                (
                    "updated_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="updated by",
                    ),
                ),
            ],
            options={
                "verbose_name": "user data template",
                "verbose_name_plural": "user data templates",
                "ordering": ["name", "id"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant", "name"), name="user_data_template_name_unique_in_tenant"
                    )
                ],
            },
        ),
    ]
