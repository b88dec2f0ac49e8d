"""Install paths: one belongs to one service on a host, because switching `current` there would end the other service."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from api.domain_errors import ConflictError

from ..models import Host, MicroService, MicroServiceInstance


def check_folder_free(service: MicroService, host_ids: Iterable[UUID]) -> None:
    """Raise 409 `folder_taken` when another service has the service's folder on one of the hosts.

    Safe against others who come onto the hosts at the same moment: those are locked, in the order of their keys, until the
    caller's transaction ends. The caller has locked the service, so that its folder stays what it is.
    """
    hosts = list(Host.objects.filter(pk__in=host_ids).select_for_update(no_key=True).order_by("pk"))
    others = MicroServiceInstance.objects.filter(host__in=hosts, service__folder=service.folder)
    other = others.exclude(service=service).select_related("host", "service").first()
    if other is not None:
        message = _("On %(host)s the folder %(folder)s belongs to the service '%(service)s'.")
        shown = {"host": other.host, "folder": service.folder, "service": other.service}
        raise ConflictError("folder_taken", message % shown, errors={"folder": [_("Taken.")]})
