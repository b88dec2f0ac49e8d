"""Connections to addresses that tenants, clouds and hosts name: each address is checked before the connection to it.

    from security.connections import AddressRefusedError, open_checked
    from security.policies import host_policy

    with open_checked(host, port, policy=host_policy(), timeout=3.0) as connection: ...

The name is resolved once, each of its addresses is checked, and the socket is connected to a checked address, not to the
name, so that the address cannot change after the check. `Host`, SNI and the name of the certificate are the caller's: use
TLS with `ssl_context.wrap_socket(connection, server_hostname=host)`. The caller has to refuse redirects.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .addresses import AddressPolicy, Refusal

SocketOption = tuple[int, int, int]
_REASONS = {
    Refusal.NO_HOST: gettext_lazy("no machine can be at %(ip)s"),
    Refusal.OWN_SERVER: gettext_lazy("the portal's own database or broker is at %(ip)s"),
    Refusal.DENIED: gettext_lazy(
        "%(ip)s is a metadata service, or is denied by the operator (DENIED_ADDRESSES)"
    ),
    Refusal.LOCAL: gettext_lazy("%(ip)s is the portal's own machine or network link (%(setting)s)"),
    Refusal.PRIVATE: gettext_lazy("%(ip)s is a private address (ALLOW_PRIVATE_ADDRESSES)"),
}


class AddressRefusedError(Exception):
    """A connection to an address that the policy refuses. `host` is the requested name, `address` an address of it.

    The text is for the person who entered the host; `reason` is its part with the reason.
    """

    def __init__(self, host: str, address: str, port: int, reason: str) -> None:
        self.host = host
        self.address = address
        self.port = port
        self.reason = reason
        super().__init__(
            _("%(host)s, port %(port)s: %(reason)s") % {"host": host, "port": port, "reason": reason}
        )


def describe_refusal(refusal: Refusal, address: str, policy: AddressPolicy) -> str:
    """Describe why the policy refuses an address, for the person who entered it."""
    sentence, values = explain_refusal(refusal, address, policy)
    return str(sentence) % values


def explain_refusal(refusal: Refusal, address: str, policy: AddressPolicy) -> tuple[Promise, dict[str, str]]:
    """Return what `describe_refusal` says as the sentence and its values, for a message that is stored and read later."""
    return _REASONS[refusal], {"ip": address, "setting": policy.setting or "allow_local"}


def resolve_checked(host: str, port: int, *, policy: AddressPolicy) -> list[tuple[int, Any]]:
    """Resolve a host and check all its addresses; return (family, socket address) of each.

    One refused address refuses the host, because a name that resolves both to a cloud and to loopback is an attack.
    All notations of addresses (decimal, octal, hexadecimal, short) pass through the system's resolver, so the resulting
    address is checked. Raises `AddressRefusedError`, and OSError (`socket.gaierror`) for an unknown name.
    """
    if not 0 < port < 65536:
        reason = describe_refusal(Refusal.NO_HOST, f"{host}:{port}", policy)
        raise AddressRefusedError(host, host, port, reason)
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        bare.encode("idna")
    except UnicodeError:
        raise socket.gaierror(socket.EAI_NONAME, "a label of the name is empty or too long") from None
    found: list[tuple[int, Any]] = []
    for family, _kind, _protocol, _name, address in policy.resolve(bare, port, type=socket.SOCK_STREAM):
        if family not in {socket.AF_INET, socket.AF_INET6}:
            continue
        ip = str(address[0]).partition("%")[0]
        refusal = policy.find_refusal(ip, port)
        if refusal is not None:
            raise AddressRefusedError(bare, ip, port, describe_refusal(refusal, ip, policy))
        found.append((family, address))
    if not found:
        raise socket.gaierror(socket.EAI_NONAME, "the name has no address")
    return found


def open_checked(
    host: str,
    port: int,
    *,
    policy: AddressPolicy,
    timeout: float | None,
    options: Iterable[SocketOption] = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),),
) -> socket.socket:
    """Connect to a host over TCP, at an address that the policy allows; the socket has `timeout` set.

    `timeout` bounds all attempts together, in seconds. Raises `AddressRefusedError`, or OSError as `socket.create_connection` does.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    last_error: OSError | None = None
    for family, address in resolve_checked(host, port, policy=policy):
        remaining = None if deadline is None else deadline - time.monotonic()
        if remaining is not None and remaining <= 0:
            break
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            for option in options:
                connection.setsockopt(*option)
            connection.settimeout(remaining)
            connection.connect(address)
        except OSError as error:
            connection.close()
            last_error = error
        except BaseException:
            connection.close()
            raise
        else:
            connection.settimeout(timeout)
            return connection
    raise last_error or TimeoutError("the connection was not made in time")
