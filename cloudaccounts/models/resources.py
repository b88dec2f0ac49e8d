"""Synced copies of the resources in the accounts, their changes, and the links between them."""

from __future__ import annotations

import uuid
from typing import ClassVar, Self

from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants.models import Tenant, User
from tenants.scoping import TenantScopedQuerySet

from .accounts import CloudAccount, CloudAccountQuerySet
from .catalogue_grants import GRANTED_TYPES, CatalogueGrant, CatalogueGrantQuerySet, with_catalogue_kind


class AccountScopedQuerySet(TenantScopedQuerySet):
    """Rows that belong to accounts: visible to everybody who sees the account."""

    tenant_path: ClassVar[str] = "account__tenant"

    def for_tenant(self, tenant: Tenant) -> Self:
        """Return the rows of the tenant's own accounts and of the shared ones."""
        return self.filter(models.Q(account__tenant=tenant) | models.Q(account__tenant=None))

    def visible_to(self, user: User) -> Self:
        """Return the rows of the accounts that the user may see."""
        return self.all() if self.is_open_to(user) else self.of_member(user)

    def of_member(self, user: User) -> Self:
        """Return the rows of the accounts of the user's tenants and of the shared ones."""
        return self.filter(account__in=CloudAccount.objects.of_member(user).values("pk"))


class OwnedOrGrantedQuerySet(TenantScopedQuerySet):
    """Resources of accounts, or rows from which `resource_path` leads to a resource.

    A shared account holds the servers and volumes of all tenants side by side, and networks that belong to some of them. A
    tenant sees of it what it was granted (`CatalogueGrant`), and no snapshots, which are images of somebody's VM.
    """

    resource_path: ClassVar[str] = ""

    def for_tenant(self, tenant: Tenant) -> Self:
        """Return the rows of the tenant's own accounts, and those of shared ones that it was granted."""
        return self._owned_or_granted(
            CloudAccount.objects.for_tenant(tenant), CatalogueGrant.objects.for_tenant(tenant)
        )

    def of_member(self, user: User) -> Self:
        """Return the rows of the accounts of the user's tenants, and those of shared ones that a tenant was granted."""
        return self._owned_or_granted(
            CloudAccount.objects.of_member(user), CatalogueGrant.objects.of_member(user)
        )

    def _owned_or_granted(self, accounts: CloudAccountQuerySet, grants: CatalogueGrantQuerySet) -> Self:
        """Return the rows of those accounts that have a tenant, and those of the shared ones that were granted.

        The ids of the accounts are read first. With a join instead, PostgreSQL compares every resource of a shared account
        with the grants, again for each change that is listed: a page of changes took thirteen seconds with 100,000
        resources and 1,500,000 changes, and hundredths of a second this way.
        """
        owned: list[int] = []
        shared: list[int] = []
        for account, tenant in accounts.order_by().values_list("pk", "tenant"):
            (shared if tenant is None else owned).append(account)
        path = self.resource_path
        granted = models.Q(
            models.Exists(grants.of_resource(path)),
            **{f"{path}account__in": shared, f"{path}type__in": GRANTED_TYPES},
        )
        snapshot = models.Q(**{f"{path}type": "image", f"{path}attributes__contains": {"is_snapshot": True}})
        rows: Self = with_catalogue_kind(self, path)
        return rows.filter(models.Q(**{f"{path}account__in": owned}) | granted & ~snapshot)


class CloudResourceQuerySet(OwnedOrGrantedQuerySet):
    """Resources of accounts."""

    tenant_path: ClassVar[str] = "account__tenant"

    def granted_to(self, tenant: Tenant, *, own: models.Q) -> Self:
        """Return the resources that new VMs and volumes of a tenant may use: what it has, was granted, and `own`.

        Snapshots of VMs are included; whoever chooses an image from them checks whose they are.
        """
        granted = models.Exists(CatalogueGrant.objects.for_tenant(tenant).of_resource())
        shared = models.Q(account__tenant=None) & (models.Q(granted) | own)
        rows: Self = with_catalogue_kind(self)
        return rows.filter(models.Q(account__tenant=tenant) | shared)

    def present(self) -> Self:
        """Return the resources that have not expired."""
        return self.filter(expired_at=None)

    def expire(self) -> int:
        """Let the present ones of these resources expire, because a job has deleted them; return their number.

        `last_seen_at` moves, so that a listing that began before the deletion does not bring them back.
        """
        return self.present().update(expired_at=Now(), changed_at=Now(), last_seen_at=Now())


class ResourceState(models.TextChoices):
    """The state of a resource in words that are the same for every cloud; the vendor's own word is its `status`."""

    RUNNING = "running", _("running")
    STOPPED = "stopped", _("stopped")
    AVAILABLE = "available", _("available")
    IN_USE = "in_use", _("in use")
    CHANGING = "changing", _("changing")
    DELETING = "deleting", _("being deleted")
    DELETED = "deleted", _("deleted")
    ERROR = "error", _("error")


class CloudResource(models.Model):
    """A synced copy of an object in an account: a server, a flavor, a port.

    `type` is the code of the syncer that writes it (`registry.py`), whose docstring lists the `attributes`.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(
        CloudAccount,
        models.CASCADE,
        related_name="resources",
        db_index=False,  # resource_once begins with it.
        verbose_name=_("cloud account"),
    )
    region = models.CharField(_("region"), max_length=100, blank=True, default="")
    type = models.CharField(_("type"), max_length=30)
    cloud_id = models.CharField(_("id in the cloud"), max_length=255)
    name = models.CharField(_("name"), max_length=255, blank=True, default="")
    status = models.CharField(_("status"), max_length=50, blank=True, default="")
    attributes = models.JSONField(_("attributes"), default=dict, blank=True)
    # Its addresses, separated by spaces, for searches.
    addresses = models.TextField(_("addresses"), blank=True, default="", db_default="")
    # What all clouds have in common, derived from status and attributes (sync/common_attributes.py).
    state = models.CharField(
        _("state"), max_length=20, choices=ResourceState.choices, blank=True, default="", db_default=""
    )
    tags = models.JSONField(_("tags"), default=dict, db_default={}, blank=True)
    size_gb = models.BigIntegerField(_("size in GB"), null=True, blank=True)
    created_in_cloud_at = models.DateTimeField(_("created"), null=True, blank=True)
    # A prepaid resource ends then, unless it is renewed.
    paid_until = models.DateTimeField(_("paid until"), null=True, blank=True)
    # A digest of everything that is stored of the object: a sync that computes the same one compares nothing else.
    digest = models.CharField(max_length=32, blank=True, default="", db_default="", editable=False)
    first_seen_at = models.DateTimeField(_("first seen"), default=timezone.now)
    last_seen_at = models.DateTimeField(_("last seen"), default=timezone.now)
    changed_at = models.DateTimeField(_("changed"), default=timezone.now)
    # The number of consecutive complete listings that did not show it; one alone proves nothing.
    missing_count = models.PositiveSmallIntegerField(_("missing"), default=0, db_default=0)
    # Set when it was missing `Syncer.expires_after` times; cleared when it comes back.
    expired_at = models.DateTimeField(_("expired"), null=True, blank=True)

    objects = CloudResourceQuerySet.as_manager()

    class Meta:
        ordering = ["type", "name", "id"]
        verbose_name = _("cloud resource")
        verbose_name_plural = _("cloud resources")
        constraints = [
            models.UniqueConstraint(fields=["account", "region", "type", "cloud_id"], name="resource_once"),
        ]
        indexes = [
            models.Index(fields=["type", "name", "id"], name="resource_by_name"),
            GinIndex(fields=["tags"], name="resource_by_tag"),
            models.Index(
                fields=["paid_until"],
                name="resource_by_paid_until",
                condition=models.Q(paid_until__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.name or self.cloud_id}"


class ResourceChangeQuerySet(OwnedOrGrantedQuerySet):
    """Changes of resources: whoever sees the resource sees what has changed."""

    tenant_path: ClassVar[str] = "resource__account__tenant"
    resource_path: ClassVar[str] = "resource__"


class ResourceChange(models.Model):
    """A change of a resource that one sync has found: the value of each field before and after.

    `fields` is `{"name": ["old", "new"], "attributes.size_gb": [10, 20]}`; the expiry of a resource, and its return, are
    changes of `expired`.
    """

    id = models.BigAutoField(primary_key=True)
    resource = models.ForeignKey(
        CloudResource,
        models.CASCADE,
        related_name="changes",
        db_index=False,
        verbose_name=_("cloud resource"),
    )
    # The sync that found it; None for a change that a job of the portal recorded, or when the log was deleted.
    log = models.ForeignKey(
        "cloudaccounts.SyncLog",
        models.SET_NULL,
        null=True,
        related_name="changes",
        verbose_name=_("sync log"),
    )
    at = models.DateTimeField(_("at"), default=timezone.now)
    fields = models.JSONField(_("changes"))
    # True: no job of the portal explains it, so somebody made it in the cloud. None: of a type that changes by itself.
    outside = models.BooleanField(_("outside the portal"), null=True, blank=True)
    # The job that explains it. No foreign key: jobs are deleted sooner than changes.
    job_id = models.UUIDField(_("task"), null=True, blank=True)
    # Of a change from outside, if the cloud tells: the action in the cloud's own word, and the id of its user there.
    cloud_action = models.CharField(_("action in the cloud"), max_length=100, blank=True, db_default="")
    cloud_user = models.CharField(_("user in the cloud"), max_length=255, blank=True, db_default="")

    objects = ResourceChangeQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = _("resource change")
        verbose_name_plural = _("resource changes")
        indexes = [
            models.Index(fields=["resource", "id"], name="change_by_resource"),
            models.Index(fields=["at"], name="change_by_time"),
            models.Index(fields=["id"], name="change_from_outside", condition=models.Q(outside=True)),
        ]

    def __str__(self) -> str:
        return f"{self.resource_id} {self.at:%Y-%m-%d %H:%M:%S}"


class ResourceLink(models.Model):
    """A reference from one resource to another: an edge of the topology.

    The target is named by its id in the cloud, in the same account and region, not by its row. So the order in which types
    are synced does not matter, and a target that appears later is linked already.
    """

    id = models.BigAutoField(primary_key=True)
    source = models.ForeignKey(
        CloudResource, models.CASCADE, related_name="links", db_index=False, verbose_name=_("cloud resource")
    )
    # The two types, joined by a dash: port-server.
    kind = models.CharField(_("kind"), max_length=61)
    # Those of the source, for queries that start from the target.
    account = models.ForeignKey(CloudAccount, models.CASCADE, related_name="+", db_index=False)
    region = models.CharField(max_length=100, blank=True, default="")
    target_type = models.CharField(_("type"), max_length=30)
    target_cloud_id = models.CharField(_("id in the cloud"), max_length=255)

    class Meta:
        verbose_name = _("link")
        verbose_name_plural = _("links")
        constraints = [
            models.UniqueConstraint(fields=["source", "kind", "target_cloud_id"], name="resource_link_once"),
        ]
        indexes = [
            models.Index(
                fields=["account", "region", "target_type", "target_cloud_id"], name="resource_link_by_target"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.target_cloud_id}"
