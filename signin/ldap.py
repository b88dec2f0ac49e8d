"""Ask an LDAP directory for a user and check the password there: search, then bind as the entry that was found."""

from __future__ import annotations

import math
import os
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import ldap3
from ldap3.core.exceptions import LDAPException
from ldap3.core.results import RESULT_INVALID_CREDENTIALS, RESULT_SUCCESS
from ldap3.utils.conv import escape_filter_chars

from security.connections import AddressRefusedError, resolve_checked
from security.policies import provider_policy

from .providers import LdapServer
from .waiting import Deadline, ProviderAnswerError, ProviderAwayError

PERSONAL_ATTRIBUTES = {"email": "mail", "first_name": "givenName", "last_name": "sn"}
# In Active Directory the id is 16 bytes, in the order of Microsoft's GUIDs.
GUID_ATTRIBUTE = "objectguid"
MAX_GROUPS = 2000


class _CheckedTls(ldap3.Tls):  # type: ignore[misc] # The library has no types.
    """TLS whose certificate is checked for the name in the settings, by Python's own check.

    That of the library would accept a certificate of the address as well, and needs a function that Python has removed.
    """

    def __init__(self, host: str, ca_file: str) -> None:
        super().__init__(validate=ssl.CERT_REQUIRED)
        self._host = host
        self._ca_file = ca_file

    def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:
        """Replace the socket of a connection by one with TLS. Raises OSError."""
        plain = connection.socket
        try:
            context = ssl.create_default_context(cafile=self._ca_file or None)
            connection.socket = context.wrap_socket(plain, server_hostname=self._host)
        except (OSError, ValueError):
            plain.close()
            raise


@dataclass(frozen=True)
class LdapUser:
    """A user whose password the directory has accepted."""

    subject: str
    username: str
    personal: dict[str, str]
    groups: tuple[str, ...]


def authenticate(server: LdapServer, username: str, password: str, deadline: Deadline) -> LdapUser | None:
    """Return the user of a name and password; None for an unknown name or a wrong password.

    The name is escaped in the filter, so no name is a filter itself. An empty password would be an anonymous bind, which
    succeeds, so it is refused before. Raises `ProviderAwayError`, `ProviderAnswerError`.
    """
    if not username or not password:
        return None
    with _connect(server, server.bind_dn, server.bind_password, deadline) as connection:
        if connection is None:
            raise ProviderAnswerError(server, "it refused the bind_dn and its password")
        entry = _find_entry(server, connection, username)
    if entry is None:
        return None
    with _connect(server, entry["dn"], password, deadline) as own:
        if own is None:
            return None
    groups = _read_texts(entry, server.group_attribute)
    if server.group_base:
        with _connect(server, server.bind_dn, server.bind_password, deadline) as connection:
            groups = _find_groups(server, connection, entry["dn"])
    names = _read_texts(entry, server.username_attribute)
    personal = {
        name: "".join(_read_texts(entry, attribute)[:1]) for name, attribute in PERSONAL_ATTRIBUTES.items()
    }
    return LdapUser(_read_subject(server, entry), names[0] if names else username, personal, groups)


def _find_entry(server: LdapServer, connection: Any, username: str) -> Mapping[str, Any] | None:
    """Return the only entry of a name. Two entries are none: which of them has signed in would be chance."""
    wanted = server.user_filter.replace("{username}", escape_filter_chars(username))
    attributes = {
        server.id_attribute,
        server.username_attribute,
        *PERSONAL_ATTRIBUTES.values(),
        *([] if server.group_base else [server.group_attribute]),
    }
    found = _search(server, connection, server.user_base, wanted, sorted(attributes), size_limit=2)
    return found[0] if len(found) == 1 else None


def _find_groups(server: LdapServer, connection: Any, dn: str) -> tuple[str, ...]:
    wanted = server.group_filter.replace("{dn}", escape_filter_chars(dn))
    found = _search(
        server, connection, server.group_base, wanted, [ldap3.NO_ATTRIBUTES], size_limit=MAX_GROUPS
    )
    return tuple(str(entry["dn"]) for entry in found)


def _search(
    server: LdapServer, connection: Any, base: str, wanted: str, attributes: Sequence[str], *, size_limit: int
) -> list[Mapping[str, Any]]:
    try:
        connection.search(base, wanted, attributes=attributes, size_limit=size_limit)
    except LDAPException as error:
        raise ProviderAwayError(server, f"search: {error!r}", is_unreachable=False) from None
    code = connection.result["result"]
    # 4 is sizeLimitExceeded: more than one entry has the name.
    if code not in {RESULT_SUCCESS, 4}:
        raise ProviderAnswerError(server, f"search: {connection.result['description']}")
    return [entry for entry in connection.response if entry["type"] == "searchResEntry"]


@contextmanager
def _connect(server: LdapServer, dn: str, password: str, deadline: Deadline) -> Iterator[Any]:
    """Open a connection with TLS to a checked address and bind; yield None when the password is wrong."""
    connection = _open(server, dn, password, deadline)
    # The timeout of the library limits each read alone, in whole seconds.
    other_end = socket.socket(fileno=os.dup(connection.socket.fileno()))
    timer = threading.Timer(deadline.remaining(), _abort, [other_end])
    timer.daemon = True
    timer.start()
    try:
        try:
            if not connection.tls_started and not connection.server.ssl and not connection.start_tls():
                raise ProviderAnswerError(server, "it refuses StartTLS")
            connection.bind()
        except (LDAPException, OSError, ssl.SSLError) as error:
            raise ProviderAwayError(server, f"{server.url}: {error!r}") from None
        code = connection.result["result"]
        if code not in {RESULT_SUCCESS, RESULT_INVALID_CREDENTIALS}:
            raise ProviderAnswerError(server, f"bind: {connection.result['description']}")
        yield connection if code == RESULT_SUCCESS else None
    finally:
        timer.cancel()
        other_end.close()
        try:
            connection.unbind()
        except (LDAPException, OSError):  # It is closed already.
            connection.strategy.close()


def _abort(other_end: socket.socket) -> None:
    try:
        other_end.shutdown(socket.SHUT_RDWR)
    except OSError:  # It has ended meanwhile.
        return


def _open(server: LdapServer, dn: str, password: str, deadline: Deadline) -> Any:
    parts = urlsplit(server.url)
    host, port = str(parts.hostname), parts.port or (636 if parts.scheme == "ldaps" else 389)
    remaining = deadline.remaining()
    if not remaining:
        raise ProviderAwayError(server, "the time of the sign-in is over")
    try:
        address = str(resolve_checked(host, port, policy=provider_policy())[0][1][0])
    except AddressRefusedError as refused:
        raise ProviderAnswerError(server, f"{server.url}: {refused}") from None
    except OSError as error:
        raise ProviderAwayError(server, f"{server.url}: {error!r}") from None
    tls = _CheckedTls(host, server.ca_file)
    # Connected to the address that was checked; the certificate is checked for the name.
    target = ldap3.Server(
        address,
        port=port,
        use_ssl=parts.scheme == "ldaps",
        tls=tls,
        get_info=ldap3.NONE,
        connect_timeout=remaining,
    )
    connection = ldap3.Connection(
        target,
        user=dn or None,
        password=password or None,
        auto_referrals=False,
        receive_timeout=math.ceil(remaining),
        read_only=True,
        check_names=False,
    )
    try:
        connection.open(read_server_info=False)
    except (LDAPException, OSError) as error:
        if connection.socket is not None:  # The library leaves it open.
            connection.socket.close()
        raise ProviderAwayError(server, f"{server.url}: {error!r}") from None
    return connection


def _read_subject(server: LdapServer, entry: Mapping[str, Any]) -> str:
    values = _find_attribute(entry, server.id_attribute)
    if len(values) != 1:
        raise ProviderAnswerError(server, f"{entry['dn']} has {len(values)} values of {server.id_attribute}")
    if server.id_attribute.lower() == GUID_ATTRIBUTE and len(values[0]) == 16:
        return str(UUID(bytes_le=values[0]))
    return values[0].decode("utf-8", "backslashreplace")[:255]


def _read_texts(entry: Mapping[str, Any], attribute: str) -> tuple[str, ...]:
    return tuple(value.decode("utf-8", "replace") for value in _find_attribute(entry, attribute))


def _find_attribute(entry: Mapping[str, Any], attribute: str) -> list[bytes]:
    """Return the values of an attribute, whose name a server may write in other letters."""
    for name, values in entry["raw_attributes"].items():
        if name.lower() == attribute.lower():
            return list(values)
    return []
