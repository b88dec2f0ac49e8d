import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


# As the four kinds were open to every tenant until now. Networks are granted by a migration of vms, which knows whose VMs
# use them.
GRANT_COMMON_KINDS = """
INSERT INTO cloudaccounts_cataloguegrant
    (account_id, tenant_id, kind, cloud_id, match, name_pattern, tag, note, by_upgrade, created_at)
SELECT account.id, NULL, kind, '', '*', '^.*$', '', '', TRUE, now()
FROM cloudaccounts_cloudaccount account, unnest(ARRAY['flavor', 'image', 'volume_type', 'zone']) kind
WHERE account.tenant_id IS NULL
"""


class Migration(migrations.Migration):
    """In shared accounts tenants may use what they were granted; what was open to all of them stays open to all of them."""

    dependencies = [
        ("cloudaccounts", "0011_lines_as_codes"),
        ("tenants", "0007_theme"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="CatalogueGrant",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("network", "network"),
                            ("flavor", "flavor"),
                            ("image", "image"),
                            ("volume_type", "volume type"),
                            ("zone", "availability zone"),
                            ("external_network", "external network"),
                            ("server_group_policy", "server group policy"),
                        ],
                        max_length=30,
                        verbose_name="kind",
                    ),
                ),
                (
                    "cloud_id",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="The id of one object in the cloud.",
                        max_length=255,
                        verbose_name="object",
                    ),
                ),
                (
                    "match",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="A pattern of names, in which * stands for any text, or tag: and a tag. Objects that the cloud gets later match, too.",
                        max_length=255,
                        verbose_name="match",
                    ),
                ),
                ("name_pattern", models.CharField(blank=True, default="", editable=False, max_length=1100)),
                ("tag", models.CharField(blank=True, default="", editable=False, max_length=255)),
                ("note", models.CharField(blank=True, default="", max_length=255, verbose_name="note")),
                (
                    "by_upgrade",
                    models.BooleanField(default=False, editable=False, verbose_name="granted by the upgrade"),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        editable=False,
                        verbose_name="granted",
                    ),
                ),
                (
                    "account",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="catalogue_grants",
                        to="cloudaccounts.cloudaccount",
                        verbose_name="cloud account",
                    ),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        db_index=False,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="granted by",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        blank=True,
                        help_text="Empty: every tenant.",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="catalogue_grants",
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "catalog grant",
                "verbose_name_plural": "catalog grants",
                "ordering": ["account__name", "kind", "match", "cloud_id", "id"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("account", "tenant", "kind", "cloud_id", "match"),
                        name="catalogue_grant_once",
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("cloud_id", ""), models.Q(("match", ""), _negated=True)),
                            models.Q(models.Q(("cloud_id", ""), _negated=True), ("match", "")),
                            _connector="OR",
                        ),
                        name="catalogue_grant_of_one",
                    ),
                ],
            },
        ),
        migrations.RunSQL(GRANT_COMMON_KINDS, migrations.RunSQL.noop),
    ]
