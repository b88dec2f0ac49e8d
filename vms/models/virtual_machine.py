"""Virtual machines, and the last report of the cloud about each."""

from __future__ import annotations

import math
import uuid
from datetime import timedelta
from typing import Any, ClassVar, Self

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Case, F, Func, OuterRef, Q, Subquery, When
from django.db.models.functions import Cast, Greatest, Upper
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from api.message_fields import MessageField
from api.time_zones import today_in
from cloudaccounts.models import CloudAccount
from tenants.models import InformationSystem, Tenant
from tenants.scoping import TenantScopedQuerySet

from .status_sync import SyncState


class VMStatus(models.TextChoices):
    """The status of a VM, mapped from Nova's status of its server."""

    BUILDING = "building", _("building")
    RUNNING = "running", _("running")
    STOPPED = "stopped", _("stopped")
    PAUSED = "paused", _("paused")
    SUSPENDED = "suspended", _("suspended")
    SHELVED = "shelved", _("shelved")
    RESCUE = "rescue", _("in rescue mode")
    REMOVED = "removed", _("removed")
    ERROR = "error", _("error")
    UNKNOWN = "unknown", _("unknown")


# An unknown status of Nova's is counted by the sync, and the VM keeps its old status.
VM_STATUS_BY_SERVER_STATUS: dict[str, VMStatus] = {
    **dict.fromkeys(
        (
            "ACTIVE",
            "PASSWORD",
            "REBOOT",
            "HARD_REBOOT",
            "MIGRATING",
            "VERIFY_RESIZE",
            "REVERT_RESIZE",
            "RESIZE",
        ),
        VMStatus.RUNNING,
    ),
    **dict.fromkeys(("BUILD", "REBUILD"), VMStatus.BUILDING),
    "SHUTOFF": VMStatus.STOPPED,
    "PAUSED": VMStatus.PAUSED,
    "RESCUE": VMStatus.RESCUE,
    "SUSPENDED": VMStatus.SUSPENDED,
    **dict.fromkeys(("SHELVED", "SHELVED_OFFLOADED"), VMStatus.SHELVED),
    **dict.fromkeys(("DELETED", "SOFT_DELETED"), VMStatus.REMOVED),
    "ERROR": VMStatus.ERROR,
    "UNKNOWN": VMStatus.UNKNOWN,
}


# The names of the watchers of servers and images in the task manager (`sync/watchers.py`).
SERVER_WATCHER = "server"
IMAGE_WATCHER = "image"


def _build_synced_at() -> Case:
    """Build the annotation `synced_at` (`VirtualMachineQuerySet.for_display`)."""
    # A subquery, not a join: `count()` drops an annotation that it does not need, but never a join.
    listed_at = SyncState.objects.filter(pk=OuterRef("sync_state")).values("listed_at")
    return Case(
        When(missing_count__gt=0, then=F("observed_at")),
        default=Greatest(F("observed_at"), Subquery(listed_at)),
    )


class VirtualMachineQuerySet(TenantScopedQuerySet):
    """VMs; their tenant is that of their information system."""

    tenant_path: ClassVar[str] = "information_system__tenant"

    def for_tenant(self, tenant: Tenant) -> Self:
        """Return the VMs of one tenant, by the ids of its systems: an index alone can count these, which it cannot for a join."""
        return self.filter(
            information_system__in=InformationSystem.objects.filter(tenant=tenant).values("pk")
        )

    def outside_bin(self) -> Self:
        """Return the VMs that are not in the bin: what lists show."""
        return self.filter(binned_at=None)

    def for_display(self) -> Self:
        """Select what an answer shows: related rows, and `synced_at`, when the row last agreed with the cloud.

        That is the later of the row's `observed_at` and the last complete listing of its account and region; only
        `observed_at` when that listing did not show the VM.
        """
        return self.select_related("information_system__tenant", "account", "created_by", "resize").annotate(
            synced_at=_build_synced_at()
        )

    def for_list(self) -> Self:
        """Select what a list shows, as `for_display` does, but of the related rows their names alone.

        To compile their columns into the statement and to build their instances takes most of the time of a page.
        """
        return self.select_related("resize").annotate(
            synced_at=_build_synced_at(),
            system_name=F("information_system__name"),
            tenant_time_zone=F("information_system__tenant__time_zone"),
            cloud_account_name=F("account__name"),
            creator_name=F("created_by__username"),
        )

    def fetch_slice(self, first: int, last: int) -> Self:
        """Return some of the rows, in their order, with what an answer shows. `first` and `last` are positions from 0.

        The keys alone are sorted: to sort whole rows with their related ones takes ten times as long for 100,000 of them.
        """
        keys = self[first:last].values("pk")
        shown: Self = self.model.objects.for_list().filter(pk__in=keys).order_by(*self.query.order_by)
        return shown


class VirtualMachine(models.Model):
    """A tenant's virtual machine. Its *server* is Nova's object, bound by `openstack_id`.

    Three facts are kept apart: `status` is the cloud's last report; the job in flight is read from the task manager;
    `desired_state` is what the user requested last. No column is written in the expectation that it will become true.
    """

    class DataCenterType(models.TextChoices):
        PRODUCTION = "production", _("production")
        TESTING = "testing", _("testing")
        DEVELOPMENT = "development", _("development")
        DISASTER_RECOVERY = "disaster_recovery", _("disaster recovery")

    class DesiredState(models.TextChoices):
        RUNNING = "running", _("running")
        STOPPED = "stopped", _("stopped")
        REMOVED = "removed", _("removed")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    information_system = models.ForeignKey(
        InformationSystem,
        models.PROTECT,
        related_name="vms",
        db_index=False,  # vm_by_system begins with it, and each index slows the sync.
        verbose_name=_("information system"),
    )
    account = models.ForeignKey(
        CloudAccount,
        models.PROTECT,
        related_name="vms",
        db_index=False,  # vm_by_account begins with it.
        verbose_name=_("cloud account"),
    )
    region = models.CharField(_("region"), max_length=100, blank=True, default="")
    # The same (account, region) as above, as one join for lists.
    sync_state = models.ForeignKey(
        SyncState, models.SET_NULL, null=True, blank=True, related_name="+", db_index=False, editable=False
    )
    name = models.CharField(_("name"), max_length=200)
    description = models.TextField(_("description"), blank=True, default="", max_length=2000)
    cpu_cores = models.PositiveSmallIntegerField(
        _("CPU cores"), validators=[MinValueValidator(1), MaxValueValidator(64)]
    )
    memory_gb = models.PositiveSmallIntegerField(
        _("memory (GB)"), validators=[MinValueValidator(1), MaxValueValidator(512)]
    )
    disk_gb = models.PositiveSmallIntegerField(
        _("disk (GB)"), validators=[MinValueValidator(10), MaxValueValidator(10000)]
    )
    data_center_type = models.CharField(
        _("data-center type"),
        max_length=20,
        choices=DataCenterType.choices,
        default=DataCenterType.PRODUCTION,
    )
    availability_zone = models.CharField(_("availability zone"), max_length=100, blank=True, default="")
    os_type = models.CharField(_("OS type"), max_length=50, blank=True, default="")
    os_version = models.CharField(_("OS version"), max_length=50, blank=True, default="")
    runtime_start = models.DateField(_("start date"), null=True, blank=True)
    runtime_end = models.DateField(_("end date"), null=True, blank=True)

    # The names of its flavor and of the image that it was created from, as far as they are known.
    flavor_name = models.CharField(_("flavor"), max_length=255, blank=True, default="", db_default="")
    image_name = models.CharField(_("image"), max_length=255, blank=True, default="", db_default="")
    metadata = models.JSONField(_("metadata"), default=dict, db_default={}, blank=True)
    # The portal's own, by key (`api/tags.py`); the cloud does not know them.
    tags = models.JSONField(_("tags"), default=dict, db_default={}, blank=True)
    # The portal's own: while it is on, the portal refuses to delete the VM. Nova's lock of a server is another thing.
    deletion_protection = models.BooleanField(_("deletion protection"), default=False, db_default=False)

    # When it was moved to the bin, null for a VM that is not in it; and when it is deleted there.
    binned_at = models.DateTimeField(_("in the bin since"), null=True, blank=True, editable=False)
    bin_until = models.DateTimeField(_("in the bin until"), null=True, blank=True, editable=False)
    # Whether its volumes are deleted with it, and whether a restore starts it: it ran when it was moved there.
    bin_deletes_volumes = models.BooleanField(default=False, db_default=False, editable=False)
    bin_was_running = models.BooleanField(default=False, db_default=False, editable=False)

    openstack_id = models.CharField(_("server ID"), max_length=64, null=True, blank=True)
    status = models.CharField(_("status"), max_length=20, choices=VMStatus.choices, default=VMStatus.UNKNOWN)
    desired_state = models.CharField(
        _("desired state"),
        max_length=10,
        choices=DesiredState.choices,
        default=DesiredState.RUNNING,
        db_column="wanted",  # The former name, which the release before still reads.
    )
    ip_address = models.GenericIPAddressField(_("IP address"), null=True, blank=True)
    mac_address = models.CharField(_("MAC address"), max_length=17, blank=True, default="")
    addresses = models.JSONField(_("addresses"), default=list, blank=True)
    fault = MessageField(_("fault"), blank=True, default="")
    # The compute host that runs the server, as far as the account is an administrator's: for staff alone, never for tenants.
    host = models.CharField(
        _("compute host"), max_length=255, blank=True, default="", db_default="", editable=False
    )
    last_start_time = models.DateTimeField(_("last started"), null=True, blank=True)
    last_stop_time = models.DateTimeField(_("last stopped"), null=True, blank=True)
    observed_at = models.DateTimeField(_("last synced"), null=True, blank=True)
    # The digest of the reading that the columns above were written from (`ServerReading.digest`); empty when
    # something else wrote them.
    reading = models.CharField(max_length=24, blank=True, default="", editable=False)
    # The number of complete listings in a row that did not show it: one may be a gap in the listing, after two it is lost.
    missing_count = models.PositiveSmallIntegerField(default=0, editable=False)
    # Nova is changing the server, so its region is synced more often.
    moving = models.BooleanField(default=False, db_default=False, editable=False)
    # The end date that the operation log has announced.
    warned_of_end = models.DateField(null=True, blank=True, editable=False)
    # Counts the changes that people make to its description; the ETag.
    version = models.PositiveIntegerField(default=1, db_default=1, editable=False)
    # When a column that the sync writes was last written, by the sync or anything else: a listing that began earlier is
    # older than the row and does not change it.
    written_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        verbose_name=_("created by"),
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = VirtualMachineQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        verbose_name = _("virtual machine")
        verbose_name_plural = _("virtual machines")
        constraints = [
            # Not `unique=True`, which would add a second index for LIKE; every index slows the sync.
            models.UniqueConstraint(fields=["openstack_id"], name="vm_server_once"),
            models.CheckConstraint(condition=Q(cpu_cores__range=(1, 64)), name="vm_cpu_cores_1_64"),
            models.CheckConstraint(condition=Q(memory_gb__range=(1, 512)), name="vm_memory_gb_1_512"),
            models.CheckConstraint(condition=Q(disk_gb__range=(10, 10000)), name="vm_disk_gb_10_10000"),
            models.CheckConstraint(condition=Q(status__in=VMStatus.values), name="vm_status_known"),
            models.CheckConstraint(condition=~Q(openstack_id=""), name="vm_unbound_is_null"),
            models.CheckConstraint(
                condition=Q(runtime_start=None)
                | Q(runtime_end=None)
                | Q(runtime_end__gte=F("runtime_start")),
                name="vm_runtime_in_order",
            ),
            models.CheckConstraint(
                condition=Q(binned_at=None, bin_until=None)
                | Q(binned_at__isnull=False, bin_until__isnull=False),
                name="vm_bin_has_an_end",
            ),
        ]
        indexes = [
            models.Index(fields=["information_system", "name"], name="vm_by_system"),
            # Lists are by name; without this, each page sorts all VMs of the tenant (444 -> 10 ms at 100,000).
            models.Index(fields=["name", "id"], name="vm_by_name"),
            models.Index(fields=["account", "region"], name="vm_by_account"),
            models.Index(fields=["account", "region"], condition=Q(moving=True), name="vm_moving"),
            models.Index(
                fields=["runtime_end"], condition=Q(runtime_end__isnull=False), name="vm_by_runtime_end"
            ),
            models.Index(fields=["bin_until"], condition=Q(bin_until__isnull=False), name="vm_by_bin_until"),
            GinIndex(fields=["tags"], name="vm_by_tag"),
            # The page of the list asks which tags there are: without this, all VMs are read when few have one.
            models.Index(fields=["information_system"], condition=~Q(tags={}), name="vm_with_tags"),
            # The status has no index: its change would write every index of the row, also the one for searches, which would
            # cost the sync more than it saves. What needs the numbers reads `VMUsage`.
            models.Index(fields=["created_at", "id"], name="vm_by_creation"),
            models.Index(fields=["ip_address", "id"], name="vm_by_address"),
            # The expressions are those of the lookup `icontains` (`search.py`).
            GinIndex(
                OpClass(Upper(Cast("name", models.TextField())), "gin_trgm_ops"),
                OpClass(Upper("description"), "gin_trgm_ops"),
                OpClass(Upper(Cast("openstack_id", models.TextField())), "gin_trgm_ops"),
                OpClass(
                    Upper(Func("ip_address", function="HOST", output_field=models.TextField())),
                    "gin_trgm_ops",
                ),
                name="vm_search",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_past_runtime(self) -> bool:
        """Return whether the VM's end date has passed in the tenant's time zone."""
        # No time zone is more than a day from UTC, so most VMs are decided without reading the tenant.
        if self.runtime_end is None or self.runtime_end > timezone.now().date() + timedelta(days=1):
            return False
        # A list has selected the time zone (`for_list`), and not the tenant's row.
        time_zone = getattr(self, "tenant_time_zone", None) or self.information_system.tenant.time_zone
        return bool(self.runtime_end < today_in(time_zone))

    @property
    def lock_key(self) -> str:
        """Return the key of the engine's lock on this VM."""
        return lock_key(self.pk)

    @property
    def polling_scope(self) -> str:
        """Return the polling scope of this VM's server: its account and region (`sync/watchers.py`)."""
        return f"{self.account_id}/{self.region}"

    @property
    def is_in_bin(self) -> bool:
        """Return whether the VM is in the bin: stopped, and hidden from lists, until it is restored or deleted."""
        return self.binned_at is not None

    @property
    def pending_resize(self) -> Resize | None:
        """Return the resize that is under way or waits to be confirmed, or None."""
        return getattr(self, "resize", None)


class Resize(models.Model):
    """A resize that is under way or waits to be confirmed. The row is deleted when it is confirmed or reverted.

    Until then the VM's own columns keep its old size, and its quota counts the larger of the two.
    """

    vm = models.OneToOneField(VirtualMachine, models.CASCADE, related_name="resize", primary_key=True)
    flavor_id = models.CharField(max_length=255)
    flavor_name = models.CharField(_("flavor"), max_length=255)
    cpu_cores = models.PositiveSmallIntegerField(_("CPU cores"))
    memory_gb = models.PositiveSmallIntegerField(_("memory (GB)"))
    disk_gb = models.PositiveSmallIntegerField(_("disk (GB)"))
    # When it is confirmed automatically; null until the cloud has resized the server.
    confirms_at = models.DateTimeField(_("confirmed automatically at"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("resize")
        verbose_name_plural = _("resizes")

    def __str__(self) -> str:
        return f"{self.vm} -> {self.flavor_name}"


def stale_after() -> timedelta:
    """Return how old a reading may be before it is out of date: three sync intervals."""
    return timedelta(seconds=3 * settings.VM_STATUS_SYNC_SECONDS)


def size_columns(
    vcpus: int | None, memory_mb: int | None, disk_gb: int | None, flavor_name: str | None
) -> dict[str, Any]:
    """Return a server's size as the columns that hold it, cut to what a VM may have; memory in whole GB, rounded up."""
    return {
        "cpu_cores": min(64, max(1, vcpus or 1)),
        "memory_gb": min(512, max(1, math.ceil((memory_mb or 0) / 1024))),
        "disk_gb": min(10000, max(10, disk_gb or 0)),
        "flavor_name": (flavor_name or "")[:255],
    }


def lock_key(vm_id: uuid.UUID | str) -> str:
    """Return the key of the engine's lock on a VM."""
    return f"vm:{vm_id}"
