"""Which service is on which host."""

from __future__ import annotations

from uuid import UUID

from django.utils.translation import gettext_lazy as _

from tasks.command import Refusal

from ..models import MicroServiceInstance


def keeps_its_vm(vm_id: UUID) -> list[Refusal]:
    """Why a VM is not removed: services run on it, or are being deployed to it."""
    names = list(
        MicroServiceInstance.objects.filter(host__vm=vm_id)
        .order_by("service__name")[:5]
        .values_list("service__name", flat=True)
    )
    if not names:
        return []
    message = _("Services run on it: %(names)s. Take them off first.")
    return [Refusal("has_instances", message % {"names": ", ".join(names)})]
