"""Install paths: one belongs to one service on a host, because switching `current` there would end the other service."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from api.domain_errors import ConflictError

from ..models import Host, MicroService, MicroServiceInstance


def check_folder_free(service: MicroService, host_ids: Iterable[UUID]) -> None:
    """Raise 409 `folder_taken` when another service has the service's folder on one of the hosts.

    Safe against instances that are added to the hosts at the same time: the hosts are locked, in the order of their keys,
    until the caller's transaction ends. The caller must have locked the service, so that its folder cannot change.
    """
    hosts = list(Host.objects.filter(pk__in=host_ids).select_for_update(no_key=True).order_by("pk"))
    conflicting = MicroServiceInstance.objects.filter(host__in=hosts, service__folder=service.folder)
    conflict = conflicting.exclude(service=service).select_related("host", "service").first()
    if conflict is not None:
        message = _("On %(host)s the folder %(folder)s belongs to the service '%(service)s'.")
        values = {"host": conflict.host, "folder": service.folder, "service": conflict.service}
        raise ConflictError("folder_taken", message % values, errors={"folder": [_("Taken.")]})
