"""What a tenant may use, what it uses, and whether something more fits."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, F, Q, Sum
from django.db.models.functions import Coalesce, Greatest
from django.utils.translation import gettext_lazy as _

from api.domain_errors import ConflictError

from .models import InformationSystem, Tenant

WORDS = {
    "vms": _("VMs"),
    "cpu_cores": _("CPU cores"),
    "memory_gb": _("GB of memory"),
    "disk_gb": _("GB of disk"),
}


@dataclass(frozen=True, slots=True)
class Needs:
    """What something would use in addition to what is used now."""

    vms: int = 0
    cpu_cores: int = 0
    memory_gb: int = 0
    disk_gb: int = 0


def usage_of(tenant: Tenant) -> dict[str, dict[str, int | None]]:
    """What the tenant has used of each quota: three queries, over its VMs, its volumes and their snapshots.

    What is in flight counts: a VM from the moment it is asked for until its removal is through, and one that is
    being resized, or a volume that is being extended, with the larger of its two sizes. A boot volume counts as its VM's
    disk, not twice. Snapshots of volumes count as disk, as they do in Cinder. What the cloud has no more does not count.
    """
    systems = InformationSystem.objects.filter(tenant=tenant)

    def larger(name: str) -> Sum:
        return Sum(Greatest(F(f"vms__{name}"), Coalesce(F(f"vms__resize__{name}"), 0)))

    used = systems.aggregate(
        used_vms=Count("vms"),
        used_cpu_cores=larger("cpu_cores"),
        used_memory_gb=larger("memory_gb"),
        used_disk_gb=larger("disk_gb"),
    )
    data = systems.aggregate(
        size=Sum(
            Greatest(F("volumes__size_gb"), Coalesce(F("volumes__extending_to_gb"), 0)),
            filter=~Q(volumes__is_boot=True, volumes__vm__isnull=False) & ~Q(volumes__status="gone"),
        )
    )
    there = ~Q(volume_snapshots__status="gone")
    kept = systems.aggregate(size=Sum("volume_snapshots__size_gb", filter=there))
    used["used_disk_gb"] = (used["used_disk_gb"] or 0) + (data["size"] or 0) + (kept["size"] or 0)
    return {
        name: {"used": used[f"used_{name}"] or 0, "total": getattr(tenant, f"quota_{name}")}
        for name in Needs.__dataclass_fields__
    }


def require_quota(tenant: Tenant, needs: Needs) -> None:
    """Refuse what does not fit into the tenant's quotas: 409 `quota_exceeded`, with the figures of each that is hit.

    In the caller's transaction, and before it writes what needs the room. Safe against others who ask at the same
    moment: the tenant's row is locked, so they are counted one after another, each seeing what the last has written.
    """
    # Not against the key: jobs and VMs that merely refer to the tenant need not wait for this.
    locked = Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)
    if all(getattr(needs, name) <= 0 or getattr(locked, f"quota_{name}") is None for name in WORDS):
        return  # Nothing that it needs is limited.
    usage = usage_of(locked)
    hit = {}
    for name, quota in usage.items():
        needed, total = getattr(needs, name), quota["total"]
        if needed > 0 and total is not None and (quota["used"] or 0) + needed > total:
            hit[name] = {"needed": needed, "left": max(0, total - (quota["used"] or 0)), "total": total}
    if hit:
        said = "; ".join(
            str(_("it needs %(needed)s %(what)s, %(left)s of %(total)s are left"))
            % {**figures, "what": WORDS[name]}
            for name, figures in hit.items()
        )
        raise ConflictError(
            "quota_exceeded",
            _("The quota of %(tenant)s does not allow it: %(said)s.") % {"tenant": locked.name, "said": said},
            quota=hit,
        )
