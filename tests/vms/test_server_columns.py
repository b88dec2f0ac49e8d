"""The mapping of servers to VM columns."""

from __future__ import annotations

from openstack_client import Address, Server
from vms.models import (
    VM_STATUS_BY_SERVER_STATUS,
)
from vms.sync.server_columns import map_server_columns

NOVA_TO_OURS = {
    "ACTIVE": "running",
    "PASSWORD": "running",
    "REBOOT": "running",
    "HARD_REBOOT": "running",
    "MIGRATING": "running",
    "VERIFY_RESIZE": "running",
    "REVERT_RESIZE": "running",
    "RESIZE": "running",
    "RESCUE": "rescue",
    "BUILD": "building",
    "REBUILD": "building",
    "SHUTOFF": "stopped",
    "PAUSED": "paused",
    "SUSPENDED": "suspended",
    "SHELVED": "shelved",
    "SHELVED_OFFLOADED": "shelved",
    "DELETED": "removed",
    "SOFT_DELETED": "removed",
    "ERROR": "error",
    "UNKNOWN": "unknown",
}


def test_the_status_map_is_the_designs():
    assert VM_STATUS_BY_SERVER_STATUS == NOVA_TO_OURS


def test_an_unknown_word_maps_to_none():
    assert map_server_columns(Server(id="1", name="", status="DANCING")).status is None


def test_the_first_valid_fixed_address_wins_and_nonsense_is_left_out():
    columns = map_server_columns(
        Server(
            id="1",
            name="",
            status="ACTIVE",
            addresses=(
                Address("a", "172.24.0.9", 4, "fa:16:3e:00:00:01", "floating"),
                Address("a", "10.20.0.300", 4, "fa:16:3e:00:00:02", "fixed"),
                Address("a", "fd00::5", 6, "fa:16:3e:00:00:03", "fixed"),
                Address("b", "10.20.0.7", 4, "fa:16:3e:00:00:04", "fixed"),
            ),
        )
    )

    assert (columns.ip_address, columns.mac_address) == ("fd00::5", "fa:16:3e:00:00:03")
    assert [(address["ip"], address["kind"]) for address in columns.addresses] == [
        ("172.24.0.9", "floating"),
        ("fd00::5", "fixed"),
        ("10.20.0.7", "fixed"),
    ]
