"""Nova: consoles of servers, by URL and as text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .calls import Call
from .http_messages import Response, bad_request, conflict, unwrap
from .nova_lookup import find_server
from .server import SimulatedServer

_TYPES = ["novnc", "xvpvnc", "rdp-html5", "spice-html5", "serial", "webmks"]
_PROTOCOLS = ["vnc", "spice", "rdp", "serial", "mks"]
_BOOT = (
    "SeaBIOS (version 1.16.2-debian-1.16.2-1)",
    "Booting from Hard Disk...",
    "[    0.000000] Linux version 6.1.0-simulated (root@simulator)",
    "[    0.000000] Command line: BOOT_IMAGE=/vmlinuz root=/dev/vda1 console=ttyS0",
    "[    0.000000] BIOS-provided physical RAM map:",
    "[    0.000000] DMI: OpenStack Foundation OpenStack Nova, BIOS 1.16.2",
    "[    0.000000] Hypervisor detected: KVM",
    "[    0.004000] tsc: Detected 2095.078 MHz processor",
    "[    0.120000] Memory: {memory_mb}M available",
    "[    0.180000] smpboot: Total of {vcpus} processors activated",
    "[    0.310000] ACPI: Core revision 20220331",
    "[    0.420000] pci 0000:00:03.0: [1af4:1000] type 00 class 0x020000",
    "[    0.560000] virtio_blk virtio1: [vda] {sectors} 512-byte logical blocks",
    "[    0.610000] virtio_net virtio0 ens3: renamed from eth0",
    "[    0.730000] EXT4-fs (vda1): mounted filesystem with ordered data mode",
    "[    1.010000] systemd[1]: Detected virtualization kvm.",
    "[    1.020000] systemd[1]: Hostname set to <{name}>.",
    "[    1.400000] systemd[1]: Started Journal Service.",
    "[    1.800000] systemd[1]: Reached target Local File Systems.",
    "[  OK  ] Reached target Network.",
    "[    2.300000] cloud-init: running 'init-local'",
    "[    2.900000] cloud-init: ci-info: ens3 | True | {address}",
    "[    3.100000] cloud-init: running 'init'",
    "[    3.600000] cloud-init: Generating public/private ed25519 key pair.",
    "[    3.900000] cloud-init: running 'modules:config'",
    "[  OK  ] Started OpenBSD Secure Shell server.",
    "[  OK  ] Reached target Multi-User System.",
    "[    4.400000] cloud-init: Cloud-init finished. Datasource DataSourceOpenStackLocal.",
    "{name} ttyS0",
    "{name} login: ",
)


def show_console_output(call: Call, server: SimulatedServer, argument: Any) -> Response:
    """Show the last `length` lines of the console; all of them without a length or for -1."""
    length = argument.get("length") if isinstance(argument, dict) else None
    if length is not None and (isinstance(length, bool) or not str(length).lstrip("-").isdigit()):
        raise bad_request(f"Invalid input for field/attribute length. Value: {length}.")
    if length is not None and int(length) < -1:
        raise bad_request(
            f"Invalid input for field/attribute length. Value: {length}. {length} is less than the minimum of -1"
        )
    _require_host(server)
    first = next((entry["addr"] for entries in server.addresses.values() for entry in entries), "")
    lines = [
        line.format(
            name=server.name, address=first, memory_mb=server.flavor["ram"], vcpus=server.flavor["vcpus"],
            sectors=server.flavor["disk"] * 2**21,
        )
        for line in _BOOT
    ]  # fmt: skip
    if length is not None and int(length) >= 0:
        lines = lines[max(0, len(lines) - int(length)) :]
    return Response(200, {"output": "\n".join(lines)})


def create_remote_console(call: Call, server_id: str) -> Response:
    """Return a console URL at which no server listens. Only VNC is configured, as in most clouds."""
    call.action, call.object_id = "remote_console", server_id
    requested = unwrap(call.request.json(), "remote_console")
    for name, known in (("protocol", _PROTOCOLS), ("type", _TYPES)):
        if requested.get(name) not in known:
            raise bad_request(
                f"Invalid input for field/attribute {name}. Value: {requested.get(name)}. {requested.get(name)!r} is not one of "
                f"{known}"
            )
    _require_host(find_server(call, server_id))
    if requested["protocol"] != "vnc" or requested["type"] != "novnc":
        raise bad_request(f"Unavailable console type {requested['type']}.")
    call.record_accepted("remote_console", server_id)
    path = f"%3Ftoken%3D{call.state.new_id()}"
    console = {"protocol": "vnc", "type": "novnc", "url": f"{call.base}/vnc_auto.html?path={path}"}
    return Response(200, {"remote_console": console})


def _require_host(server: SimulatedServer) -> None:
    if not server.is_on_host:
        raise conflict(f"Instance {server.id} is not ready")


TABLE: list[tuple[str, str, Callable[..., Response]]] = [
    ("POST", "/servers/<server_id>/remote-consoles", create_remote_console),
]
