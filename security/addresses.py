"""The addresses that the portal may connect to when a tenant, a cloud or a host names them.

A rule about names would protect nothing, because a name can change its address after the check. So an `AddressPolicy`
checks the address of a connection, and `connections.open_checked` connects to that same address.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
Endpoint = tuple[str, int]


def parse_networks(texts: Iterable[str]) -> tuple[IPNetwork, ...]:
    """Return addresses and networks as networks. Raises ValueError with the invalid text."""
    return tuple(ipaddress.ip_network(text.strip(), strict=False) for text in texts if text.strip())


# The metadata services of large clouds, with neighbouring addresses: they return the secrets of the portal's machine.
METADATA_NETWORKS = parse_networks(
    (
        "169.254.169.0/24",  # AWS, Azure, Google, OpenStack, Oracle, IBM, Huawei and others (.254; AWS also .253, .123)
        "169.254.170.0/24",  # AWS: credentials of containers (.2) and of EKS pods (.23)
        "169.254.0.23/32",  # Tencent
        "169.254.42.42/32",  # Scaleway
        "100.100.100.200/32",  # Alibaba
        "100.96.0.96/32",  # Volcengine
        "100.80.80.80/32",  # UCloud
        "168.63.129.16/32",  # Azure: agent of the platform
        "192.0.0.192/32",  # Oracle, classic
        "fd00:ec2::/32",  # AWS (::254, EKS pods ::23)
        "fd20:ce::254/128",  # Google
        "fd00:42::42/128",  # Scaleway
        "fe80::a9fe:a9fe/128",  # OpenStack
    )
)
# NAT64 embeds an IPv4 address, the packet's destination, in an IPv6 one (RFC 6052). The position within the local-use
# prefix (64:ff9b:1::/48) is unknown, so this prefix is refused as reserved.
_TRANSLATED = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::ffff:0:0:0/96"))
_IPV4_COMPATIBLE = ipaddress.IPv6Network("::/96")
_BROADCAST = ipaddress.IPv4Address("255.255.255.255")


class Refusal(Enum):
    """The reason why connections to an address are refused."""

    NO_HOST = auto()  # Multicast, broadcast, unspecified, or port 0.
    OWN_SERVER = auto()  # The portal's database or broker.
    DENIED = auto()  # A metadata service, or an address that the operator has denied.
    LOCAL = auto()  # The portal's own machine, its link, or a reserved address.
    PRIVATE = auto()  # Not reachable from the public internet, where the operator allows only that.


@dataclass(frozen=True, kw_only=True)
class AddressPolicy:
    """The addresses that one kind of connection may go to. Immutable, and safe for use by several threads.

    `allow_local` allows the portal's own machine and link; `setting` is its name for people. `allow_private` allows
    addresses that the public internet cannot reach. `denied` are refused nevertheless. `allowed` are exceptions from all
    three, but never from `own_servers`: (address, port) of the portal's database and broker, requested at each check
    because their names may change their addresses, too. `resolve` has the signature of `socket.getaddrinfo`.
    """

    allow_local: bool = False
    setting: str = ""
    allow_private: bool = True
    denied: tuple[IPNetwork, ...] = METADATA_NETWORKS
    allowed: tuple[IPNetwork, ...] = ()
    own_servers: Callable[[], Iterable[Endpoint]] = tuple
    resolve: Callable[..., Sequence[Any]] = socket.getaddrinfo

    def find_refusal(self, address: str, port: int | None = None) -> Refusal | None:
        """Return why an address is refused, or None. Without a port, the portal's own servers are not compared.

        An address with an embedded one (IPv4 in IPv6) is refused when either is.
        Raises ValueError for a text that is no address.
        """
        whole = parse_address(address)
        if port is not None and not 0 < port < 65536:
            return Refusal.NO_HOST
        embedded = tuple(list_embedded_addresses(whole))
        for ip in (whole, *embedded):
            refusal = self._find_refusal(ip, port, is_carrier=bool(embedded) and ip is whole)
            if refusal is not None:
                return refusal
        return None

    def _find_refusal(self, ip: IPAddress, port: int | None, *, is_carrier: bool) -> Refusal | None:
        if ip.is_multicast or ip.is_unspecified or ip == _BROADCAST:
            return Refusal.NO_HOST
        own_servers = [(parse_address(address), number) for address, number in self.own_servers()]
        if any(port == number and _are_same_machine(ip, own) for own, number in own_servers):
            return Refusal.OWN_SERVER
        if any(ip in network for network in self.allowed):
            return None
        if any(ip in network for network in self.denied):
            return Refusal.DENIED
        if is_carrier:
            # Its prefix is reserved for NAT64; the embedded address is checked instead.
            return None
        if not self.allow_local:
            if is_local(ip):
                return Refusal.LOCAL
            if any(ip == own for own, _number in own_servers):
                return Refusal.OWN_SERVER
        if not self.allow_private and not ip.is_global and not is_local(ip):
            return Refusal.PRIVATE
        return None


def parse_address(text: str) -> IPAddress:
    """Return an address as an object, without its scope (`%eth0`). Raises ValueError."""
    return ipaddress.ip_address(text.partition("%")[0])


def is_local(ip: IPAddress) -> bool:
    """Return whether an address belongs to this machine or its link, or is reserved."""
    is_site_local = isinstance(ip, ipaddress.IPv6Address) and ip.is_site_local
    is_this_network = ip.version == 4 and ip.packed[0] == 0
    return (
        ip.is_loopback
        or ip.is_link_local
        or ip.is_reserved
        or is_site_local
        or is_this_network
        or is_of_this_machine(ip)
    )


def is_of_this_machine(ip: IPAddress) -> bool:
    """Return whether one of this machine's network interfaces has the address.

    The kernel sends packets to its own address from that same address, so the source address of a connected socket shows
    it. (Binding to the address would prove nothing with `ip_nonlocal_bind`, which is common with load balancers.)
    """
    if ip.is_loopback:
        return True
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    try:
        # Connecting a datagram socket chooses its source address and sends nothing; any port will do.
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(ip), 9))
            return parse_address(probe.getsockname()[0]) == ip
    except OSError:
        return False


def list_embedded_addresses(ip: IPAddress) -> Iterator[IPAddress]:
    """Yield the IPv4 addresses that are embedded in an IPv6 one: mapped, compatible, NAT64, 6to4, Teredo."""
    if isinstance(ip, ipaddress.IPv4Address):
        return
    if ip.ipv4_mapped is not None:
        yield ip.ipv4_mapped
    if ip.sixtofour is not None:
        yield ip.sixtofour
    if ip.teredo is not None:
        yield from ip.teredo
    is_compatible = ip in _IPV4_COMPATIBLE and int(ip) > 0xFFFF  # ::1 and its neighbours embed no address.
    if is_compatible or any(ip in network for network in _TRANSLATED):
        yield ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)


def _are_same_machine(ip: IPAddress, own: IPAddress) -> bool:
    return ip == own or (is_of_this_machine(own) and is_of_this_machine(ip))
