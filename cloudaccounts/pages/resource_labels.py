"""The words of clouds in the reader's language: statuses and attributes of resources. Unknown ones stay as they are."""

from __future__ import annotations

from typing import Any

from django.template.defaultfilters import filesizeformat
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from pages.cloud_statuses import IMAGE_STATUSES, VOLUME_STATUSES

# Statuses in upper case are those of Nova and Neutron, in lower case those of Glance and Cinder.
_SERVER_STATUSES: dict[str, str | Promise] = {
    "ACTIVE": gettext_lazy("Running"),
    "SHUTOFF": gettext_lazy("Shut off"),
    "PAUSED": gettext_lazy("Paused"),
    "SUSPENDED": gettext_lazy("Suspended"),
    "SHELVED": gettext_lazy("Shelved"),
    "SHELVED_OFFLOADED": gettext_lazy("Shelved, offloaded"),
    "REBOOT": gettext_lazy("Restarting"),
    "HARD_REBOOT": gettext_lazy("Force restarting"),
    "RESIZE": gettext_lazy("Resizing"),
    "VERIFY_RESIZE": gettext_lazy("Resize to confirm"),
    "REVERT_RESIZE": gettext_lazy("Reverting resize"),
    "MIGRATING": gettext_lazy("Migrating"),
    "REBUILD": gettext_lazy("Rebuilding"),
    "RESCUE": gettext_lazy("Rescue mode"),
    "PASSWORD": gettext_lazy("Changing password"),
    "SOFT_DELETED": gettext_lazy("Soft-deleted"),
}
_STATUSES: dict[str, str | Promise] = {
    **VOLUME_STATUSES,
    **IMAGE_STATUSES,
    "ACTIVE": gettext_lazy("Up"),
    "BUILD": gettext_lazy("Building"),
    "DOWN": gettext_lazy("Down"),
    "ERROR": gettext_lazy("Error"),
    "DELETED": gettext_lazy("Deleted"),
    "UNKNOWN": gettext_lazy("Unknown"),
    "N/A": gettext_lazy("Unknown"),
    "unavailable": gettext_lazy("Unavailable"),
    "disabled": gettext_lazy("Disabled"),
    "unlimited": gettext_lazy("Unlimited"),
    "full": gettext_lazy("Used up"),
    "free": gettext_lazy("Quota left"),
}
_ATTRIBUTES: dict[str, str | Promise] = {
    "addresses": gettext_lazy("Network addresses"),
    "allocation_pools": gettext_lazy("Allocation pools"),
    "cidr": gettext_lazy("Address range"),
    "cidrs": gettext_lazy("Address ranges"),
    "created_at": gettext_lazy("Created"),
    "description": gettext_lazy("Description"),
    "device": gettext_lazy("Device"),
    "device_owner": gettext_lazy("Device owner"),
    "disk_gb": gettext_lazy("Disk"),
    "dns_servers": gettext_lazy("DNS servers"),
    "fault": gettext_lazy("Fault"),
    "fingerprint": gettext_lazy("Fingerprint"),
    "fixed_address": gettext_lazy("Fixed IP address"),
    "fixed_ips": gettext_lazy("Fixed IP addresses"),
    "flavor": gettext_lazy("Flavor"),
    "gateway_ip": gettext_lazy("Gateway"),
    "in_use": gettext_lazy("In use"),
    "ip_version": gettext_lazy("IP version"),
    "ipv6_address_mode": gettext_lazy("IPv6 address mode"),
    "is_admin_state_up": gettext_lazy("Administratively up"),
    "is_bootable": gettext_lazy("Bootable"),
    "is_dhcp_enabled": gettext_lazy("DHCP"),
    "is_external": gettext_lazy("External network"),
    "is_port_security_enabled": gettext_lazy("Port security"),
    "is_public": gettext_lazy("Public"),
    "is_shared": gettext_lazy("Shared"),
    "is_snapshot": gettext_lazy("Snapshot of a VM"),
    "is_stateful": gettext_lazy("Stateful"),
    "is_volume_backed": gettext_lazy("Boots from a volume"),
    "limit": gettext_lazy("Limit"),
    "mac_address": gettext_lazy("MAC address"),
    "marker": gettext_lazy("Portal marker"),
    "max_servers_per_host": gettext_lazy("Maximum servers per host"),
    "memory_mb": gettext_lazy("Memory"),
    "metadata": gettext_lazy("Metadata"),
    "min_disk_gb": gettext_lazy("Minimum disk"),
    "min_memory_mb": gettext_lazy("Minimum memory"),
    "mtu": gettext_lazy("Maximum packet size (MTU)"),
    "os_distro": gettext_lazy("Distribution"),
    "os_type": gettext_lazy("OS type"),
    "os_version": gettext_lazy("OS version"),
    "policy": gettext_lazy("Policy"),
    "reserved": gettext_lazy("Reserved amount"),
    "rule_list": gettext_lazy("Rules"),
    "rules": gettext_lazy("Number of rules"),
    "security_groups": gettext_lazy("Security groups"),
    "service": gettext_lazy("Cloud service"),
    "size_bytes": gettext_lazy("File size"),
    "size_gb": gettext_lazy("Capacity"),
    "tags": gettext_lazy("Tags"),
    "task": gettext_lazy("Task in the cloud"),
    "type": gettext_lazy("Type"),
    "vcpus": gettext_lazy("vCPUs"),
    "visibility": gettext_lazy("Visibility"),
    "volume_type": gettext_lazy("Volume type"),
    "zone": gettext_lazy("Availability zone"),
}
_FIELDS: dict[str, str | Promise] = {
    "name": gettext_lazy("Name"),
    "status": gettext_lazy("Status"),
    "addresses": gettext_lazy("IP addresses"),
    "links": gettext_lazy("Related resources"),
}
_ATTRIBUTE_PREFIX = "attributes."


def label_status(status: str, type_code: str = "") -> str:
    """Return the label of a status of a resource of some type; the cloud's own word if it is not known."""
    known = _SERVER_STATUSES.get(status) if type_code == "server" else None
    known = known or _STATUSES.get(status) or _SERVER_STATUSES.get(status)
    return str(known) if known else status


def list_status_labels(statuses: list[str], type_code: str = "") -> list[tuple[str, str]]:
    """Return statuses with their labels, as choices; those of the same label also have the cloud's own word."""
    labels = [(status, label_status(status, type_code)) for status in statuses]
    counts: dict[str, int] = {}
    for _status, label in labels:
        counts[label] = counts.get(label, 0) + 1
    return [
        (status, label if counts[label] == 1 or label == status else f"{label} ({status})")
        for status, label in labels
    ]


def label_attribute(name: str) -> str:
    """Return the label of an attribute; its name if it is not known."""
    return str(_ATTRIBUTES.get(name, name))


def label_field(name: str) -> str:
    """Return the label of a field of a change: a column, or an attribute."""
    if name.startswith(_ATTRIBUTE_PREFIX):
        return label_attribute(name.removeprefix(_ATTRIBUTE_PREFIX))
    return str(_FIELDS.get(name, name))


def add_unit(name: str, value: Any) -> str | None:
    """Return a figure with its unit, for attributes that are sizes; None for any other value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if name.endswith("_gb"):
        return f"{value} GiB"
    if name.endswith("_mb"):
        return f"{value / 1024:g} GiB" if value >= 1024 else f"{value} MiB"
    if name.endswith("_bytes"):
        return filesizeformat(value)
    if name == "limit" and value < 0:
        return _("Unlimited")
    return None
