"""The addresses that the portal may connect to on hosts: SSH, and its own health checks."""

from __future__ import annotations

from dataclasses import replace

from api.messages import message as _
from api.messages import to_message
from security.addresses import Refusal
from security.connections import explain_refusal
from security.policies import host_policy

from .contract import Code, ExecutorError


def check_host_address(ip: str, *, allow_local: bool, port: int | None = None) -> None:
    """Refuse the portal's own machine and servers, and metadata services, which a tenant could enter as its host.

    A host is entered as an address, never as a name, so the checked address is the one that is connected to.
    `allow_local` permits addresses of this machine and its links. Raises `ExecutorError` (address_refused).
    """
    policy = replace(host_policy(), allow_local=allow_local)
    try:
        refusal = policy.find_refusal(ip, port)
    except ValueError:
        refusal = Refusal.NO_HOST
    if refusal is not None:
        sentence, values = explain_refusal(refusal, ip, policy)
        reason = to_message(sentence) % values
        raise ExecutorError(
            Code.ADDRESS_REFUSED, _("Hosts are not allowed there: %(reason)s.") % {"reason": reason}
        )
