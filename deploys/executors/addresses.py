"""Where the portal's own connections to hosts may go: SSH, and health checks that it makes itself."""

from __future__ import annotations

from django.utils.translation import gettext as _

from cloudaccounts.addresses import is_local, is_no_host

from .contract import Code, ExecutorError


def check_address(ip: str, *, allow_local: bool) -> None:
    """Refuse the portal's own machine and metadata services, which a tenant could name as its host.

    `allow_local` lets through what is on this machine or link; what can never be a host stays refused. Raises `ExecutorError` (address_refused).
    """
    if is_no_host(ip):
        raise ExecutorError(Code.ADDRESS_REFUSED, _("No host is ever at %(ip)s.") % {"ip": ip})
    if not allow_local and is_local(ip):
        raise ExecutorError(
            Code.ADDRESS_REFUSED, _("Hosts are not allowed at %(ip)s (ALLOW_LOCAL_HOSTS).") % {"ip": ip}
        )
