"""Hosts on one machine: each is a network namespace with an address and a host name of its own.

The namespaces have no names in the file system. The kernel removes them with the last process in them and the last open
file of this process, so nothing is left behind, however the campaign ends.
A thread is in one namespace at a time and starts its processes there. `entered` moves the calling thread only.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

CLONE_NEWUTS = 0x04000000
CLONE_NEWNET = 0x40000000
# From linux/if_tun.h, linux/sockios.h and linux/if.h.
TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
SIOCSIFADDR, SIOCSIFNETMASK = 0x8916, 0x891C
IFF_UP = 0x1
DEVICE = b"net0"

NETWORK = "10.77.0"
NETMASK = "255.255.255.0"

_libc = ctypes.CDLL(None, use_errno=True)


class NamespacesError(Exception):
    """Namespaces cannot be made here; the text has the reason."""


@dataclass(frozen=True, slots=True)
class Host:
    """A host: its number is the last byte of its address. `device` is the end of its network card that a router reads."""

    name: str
    number: int
    network_namespace: int
    name_namespace: int
    device: int

    @property
    def address(self) -> str:
        """Return the address."""
        return f"{NETWORK}.{self.number}"


def create_hosts(names: Sequence[str]) -> dict[str, Host]:
    """Create a host for each name. Call it from the main thread.

    Raises `NamespacesError` where this is not permitted: it needs root, with the capability to make namespaces and devices.
    """
    own = _open_namespaces()
    hosts = {}
    try:
        for number, name in enumerate(names, start=1):
            if _libc.unshare(CLONE_NEWNET | CLONE_NEWUTS) != 0:
                raise NamespacesError(f"The kernel refuses a network namespace: {_describe_errno()}.")
            socket.sethostname(name)
            network, uts = _open_namespaces()
            hosts[name] = Host(name, number, network, uts, _create_device(f"{NETWORK}.{number}"))
    except OSError as error:
        raise NamespacesError(f"A host's network cannot be made: {error}.") from error
    finally:
        _enter(*own)
        for descriptor in own:
            os.close(descriptor)
    return hosts


@contextmanager
def entered(host: Host) -> Iterator[None]:
    """Be on a host while the block runs: sockets and processes that this thread makes belong to it."""
    own = _open_namespaces()
    _enter(host.network_namespace, host.name_namespace)
    try:
        yield
    finally:
        _enter(*own)
        for descriptor in own:
            os.close(descriptor)


def move_to(host: Host) -> None:
    """Move the calling thread to a host for good; the threads that it starts from now on are there, too."""
    _enter(host.network_namespace, host.name_namespace)


def _open_namespaces() -> tuple[int, int]:
    """Return open files of this thread's network namespace and of its namespace of host names."""
    first, second = (
        os.open(f"/proc/thread-self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in ("net", "uts")
    )
    return first, second


def _enter(network: int, uts: int) -> None:
    for descriptor, kind in ((network, CLONE_NEWNET), (uts, CLONE_NEWUTS)):
        if _libc.setns(descriptor, kind) != 0:
            raise NamespacesError(f"The kernel refuses to enter a namespace: {_describe_errno()}.")


def _create_device(address: str) -> int:
    """Create the network card of the namespace that this thread is in, and return its other end."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", DEVICE, IFF_TUN | IFF_NO_PI))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFADDR, _pack_address(DEVICE, address))
        fcntl.ioctl(control, SIOCSIFNETMASK, _pack_address(DEVICE, NETMASK))
        for name in (b"lo", DEVICE):
            flags = struct.unpack_from("H", fcntl.ioctl(control, SIOCGIFFLAGS, struct.pack("40s", name)), 16)
            fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH22x", name, flags[0] | IFF_UP))
    return device


def _pack_address(device: bytes, address: str) -> bytes:
    """Return a `struct ifreq` with an IPv4 address."""
    return struct.pack("16sHH4s16x", device, socket.AF_INET, 0, socket.inet_aton(address))


def _describe_errno() -> str:
    return os.strerror(ctypes.get_errno())
