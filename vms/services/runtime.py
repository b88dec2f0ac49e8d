"""Stop VMs after their end date, and announce it before."""

from __future__ import annotations

from datetime import date, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q

from api.messages import message as _
from api.time_zones import today_in
from tasks import engine
from tenants.models import Tenant

from ..commands.power import StopVmAtRuntimeEndCommand
from ..models import VirtualMachine, VMOperationLog, VMStatus
from .locked_vms import build_specs, touch_submitted_vms

BATCH_SIZE = 500


def stop_at_runtime_end() -> int:
    """Submit the stop of VMs that still run after their end date; return how many.

    A VM that a job holds, or whose row is locked, waits for the next run. An extension before the job runs still counts: the
    job reads the row again.
    """
    with transaction.atomic():
        is_over = Q(pk__in=[])
        for today, of_tenants in _list_today_filters():
            is_over |= of_tenants & Q(runtime_end__lt=today)
        over = VirtualMachine.objects.for_display().filter(
            is_over, status=VMStatus.RUNNING, openstack_id__isnull=False
        )
        vms = list(over.order_by("pk").select_for_update(of=("self",), skip_locked=True)[:BATCH_SIZE])
        answers = engine.submit_many(build_specs(StopVmAtRuntimeEndCommand, vms), mode="valid")
        return touch_submitted_vms(vms, answers)


def _list_today_filters() -> list[tuple[date, Q]]:
    """Return each date that is today for some tenant (at most three), with the filter for the VMs of those tenants.

    The date is the tenant's: a VM with the end date Friday runs until Friday is over in the tenant's time zone.
    """
    zones: dict[date, list[str]] = {}
    for name in Tenant.objects.order_by().values_list("time_zone", flat=True).distinct():
        zones.setdefault(today_in(name), []).append(name)
    return [(day, Q(information_system__tenant__time_zone__in=names)) for day, names in zones.items()]


def warn_of_runtime_end() -> int:
    """Announce in the log of each VM, once for each end date, that it will be stopped soon; return their number."""
    with transaction.atomic():
        is_soon = Q(pk__in=[])
        for today, of_tenants in _list_today_filters():
            last = today + timedelta(days=settings.RUNTIME_WARN_DAYS)
            is_soon |= of_tenants & Q(runtime_end__range=(today, last))
        soon = VirtualMachine.objects.select_related("information_system").filter(
            ~Q(warned_of_end=F("runtime_end")) | Q(warned_of_end=None),
            is_soon,
            status=VMStatus.RUNNING,
        )
        vms = list(soon.order_by("pk").select_for_update(of=("self",), skip_locked=True)[:BATCH_SIZE])
        VMOperationLog.objects.bulk_create(
            VMOperationLog.of(
                vm,
                VMOperationLog.Operation.RUNTIME,
                detail=_("The VM will be stopped after its end date, %(date)s.") % {"date": vm.runtime_end},
            )
            for vm in vms
        )
        VirtualMachine.objects.filter(pk__in=[vm.pk for vm in vms]).update(warned_of_end=F("runtime_end"))
    return len(vms)
