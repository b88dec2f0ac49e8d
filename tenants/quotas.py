"""Measure the usage of a tenant's quotas, and check it before anything is created."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db.models import BigIntegerField, Count, F, Func, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce, Greatest, Now
from django.utils.translation import gettext_lazy as _

from api.compiled_queries import CompiledQuery
from api.domain_errors import ConflictError

from .models import InformationSystem, Tenant

RESOURCE_LABELS = {
    "vms": _("VMs"),
    "cpu_cores": _("CPU cores"),
    "memory_gb": _("GB of memory"),
    "disk_gb": _("GB of disk"),
}
# The sizes of a VM that have quotas.
SIZES = ("cpu_cores", "memory_gb", "disk_gb")
# The labels and units of the meters on pages.
METER_LABELS = {
    "vms": (_("Virtual machines"), ""),
    "cpu_cores": (_("vCPUs"), ""),
    "memory_gb": (_("Memory"), "GiB"),
    "disk_gb": (_("Disk"), "GiB"),
}


@dataclass(frozen=True, slots=True)
class Needs:
    """The resources that a request needs in addition to the present usage."""

    vms: int = 0
    cpu_cores: int = 0
    memory_gb: int = 0
    disk_gb: int = 0


_collected: ContextVar[list[tuple[Tenant, Needs]] | None] = ContextVar("collected_needs", default=None)


@contextmanager
def collect_needs() -> Iterator[list[tuple[Tenant, Needs]]]:
    """Collect the needs that `require_quota` accepts within the block, so that they can be reserved if it is not carried out yet."""
    collected: list[tuple[Tenant, Needs]] = []
    token = _collected.set(collected)
    try:
        yield collected
    finally:
        _collected.reset(token)


def measure_usage(tenant: Tenant) -> dict[str, dict[str, int | None]]:
    """Measure the tenant's usage of each quota: four queries, over its VMs, its volumes, their snapshots, and pending requests.

    Jobs in flight count: a VM from its request until its deletion has ended, and a VM that is being resized, or a volume that
    is being extended, with the larger of its two sizes. A boot volume counts as its VM's disk, not twice. Snapshots of
    volumes count as disk, as they do in Cinder. Objects that no longer exist in the cloud do not count.
    What pending requests for approval would need is reserved, and counts as well.
    """
    systems = InformationSystem.objects.filter(tenant=tenant)
    sums = systems.aggregate(**_vm_sums())
    used = {name: sums[f"used_{name}"] or 0 for name in Needs.__dataclass_fields__}
    used["disk_gb"] += systems.aggregate(size=_volume_sum())["size"] or 0
    used["disk_gb"] += systems.aggregate(size=_snapshot_sum())["size"] or 0
    reserved = measure_reserved(tenant)
    return _add_quotas(tenant, {name: value + (reserved[name] or 0) for name, value in used.items()})


def _add_quotas(tenant: Tenant, used: dict[str, int]) -> dict[str, dict[str, int | None]]:
    return {name: {"used": value, "total": getattr(tenant, f"quota_{name}")} for name, value in used.items()}


def _reserved_sum(name: str) -> Sum:
    is_pending = Q(approval_requests__status="pending", approval_requests__expires_at__gt=Now())
    return Sum(f"approval_requests__reserved_{name}", filter=is_pending)


def measure_reserved(tenant: Tenant) -> dict[str, Any]:
    """Measure what the tenant's pending requests for approval have reserved: one query."""
    sums = {name: _reserved_sum(name) for name in Needs.__dataclass_fields__}
    return Tenant.objects.filter(pk=tenant.pk).aggregate(**sums)


def read_usage(tenant: Tenant) -> dict[str, dict[str, int | None]]:
    """Return the figures of `measure_usage` for a page, from the sums of VMs that the database keeps (`vms.models.VMUsage`).

    Exact, and quick with any number of VMs: one query. What refuses a request counts the rows themselves: if the sums were
    ever wrong, only a page would be.
    """
    (sums,) = _USAGE.fetch(tenant.pk)
    used = dict.fromkeys(Needs.__dataclass_fields__, 0)
    for names, values in zip(_USAGE_NAMES, sums, strict=True):
        for name, value in zip(names, values or [], strict=False):
            used[name] += int(value or 0)
    return _add_quotas(tenant, used)


def _build_usage_query(tenant: UUID) -> QuerySet[Tenant, tuple[Any, ...]]:
    """Return the sums of a tenant as arrays, in the order of `_USAGE_NAMES`; None for an array of nothing."""

    def add_up(rows: QuerySet[Any], owner: str, sums: Iterable[Sum]) -> Subquery:
        array = Func(*sums, template="ARRAY[%(expressions)s]", output_field=ArrayField(BigIntegerField()))
        return Subquery(rows.order_by().values(owner).annotate(sums=array).values("sums"))

    systems = InformationSystem.objects.filter(tenant=OuterRef("pk"))
    # How much larger the new sizes of the VMs are that are being resized, of which there are few.
    larger = (Greatest(F(f"vms__resize__{name}") - F(f"vms__{name}"), 0) for name in SIZES)
    return Tenant.objects.filter(pk=tenant).values_list(
        add_up(systems, "tenant", (Sum(f"vm_usage__{name}") for name in Needs.__dataclass_fields__)),
        add_up(systems.filter(vms__resize__isnull=False), "tenant", map(Sum, larger)),
        add_up(systems, "tenant", [_volume_sum()]),
        add_up(systems, "tenant", [_snapshot_sum()]),
        add_up(
            Tenant.objects.filter(pk=OuterRef("pk")), "pk", map(_reserved_sum, Needs.__dataclass_fields__)
        ),
    )


_USAGE = CompiledQuery(_build_usage_query)
_USAGE_NAMES = (
    tuple(Needs.__dataclass_fields__),
    SIZES,
    ("disk_gb",),
    ("disk_gb",),
    tuple(Needs.__dataclass_fields__),
)


def measure_usage_by_system(tenant: Tenant) -> list[dict[str, Any]]:
    """Measure what each information system of a tenant uses, by name: three queries. The sums are those of `measure_usage`."""
    systems = InformationSystem.objects.filter(tenant=tenant).order_by("name", "pk")
    volumes = dict(systems.values_list("pk").annotate(size=_volume_sum()))
    snapshots = dict(systems.values_list("pk").annotate(size=_snapshot_sum()))
    usage = []
    for row in systems.values("pk", "name").annotate(**_vm_sums()):
        line = {name: row[f"used_{name}"] or 0 for name in Needs.__dataclass_fields__}
        line["disk_gb"] += (volumes.get(row["pk"]) or 0) + (snapshots.get(row["pk"]) or 0)
        usage.append({"pk": row["pk"], "name": row["name"], **line})
    return usage


def _vm_sums() -> dict[str, Count | Sum]:
    def sum_larger_size(name: str) -> Sum:
        return Sum(Greatest(F(f"vms__{name}"), Coalesce(F(f"vms__resize__{name}"), 0)))

    return {
        "used_vms": Count("vms"),
        "used_cpu_cores": sum_larger_size("cpu_cores"),
        "used_memory_gb": sum_larger_size("memory_gb"),
        "used_disk_gb": sum_larger_size("disk_gb"),
    }


def _volume_sum() -> Sum:
    size = Greatest(F("volumes__size_gb"), Coalesce(F("volumes__extending_to_gb"), 0))
    is_counted = ~Q(volumes__is_boot=True, volumes__vm__isnull=False) & ~Q(volumes__status="gone")
    return Sum(size, filter=is_counted)


def _snapshot_sum() -> Sum:
    return Sum("volume_snapshots__size_gb", filter=~Q(volume_snapshots__status="gone"))


def measure_remaining(tenant: Tenant) -> dict[str, int | None]:
    """Return what each quota of the tenant leaves; None for a resource without a quota, and less than 0 for an exceeded one.

    Call it in the transaction that creates the new rows. Safe beside other requests, as `require_quota`: the tenant's row is
    locked.
    """
    locked = Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)
    return {
        name: None if quota["total"] is None else quota["total"] - (quota["used"] or 0)
        for name, quota in measure_usage(locked).items()
    }


def require_quota(tenant: Tenant, needs: Needs) -> None:
    """Refuse needs that exceed the tenant's quotas: 409 `quota_exceeded`, with the figures of each exceeded quota.

    Call it in the transaction that creates the new rows, before they are written. Safe beside other requests: the tenant's
    row is locked, so each request counts the rows of the one before.
    """
    # Without the key: jobs and VMs that only refer to the tenant do not wait for this lock.
    locked = Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)
    if (collected := _collected.get()) is not None:
        collected.append((locked, needs))
    if all(getattr(needs, name) <= 0 or getattr(locked, f"quota_{name}") is None for name in RESOURCE_LABELS):
        return  # None of the resources has a quota.
    usage = measure_usage(locked)
    exceeded = {}
    for name, quota in usage.items():
        needed, total = getattr(needs, name), quota["total"]
        if needed > 0 and total is not None and (quota["used"] or 0) + needed > total:
            exceeded[name] = {"needed": needed, "left": max(0, total - (quota["used"] or 0)), "total": total}
    if exceeded:
        shortages = "; ".join(
            str(_("%(needed)s %(what)s needed, %(left)s of %(total)s left"))
            % {**figures, "what": RESOURCE_LABELS[name]}
            for name, figures in exceeded.items()
        )
        raise ConflictError(
            "quota_exceeded",
            _("Quota of %(tenant)s exceeded: %(figures)s.") % {"tenant": locked.name, "figures": shortages},
            quota=exceeded,
        )
