"""A server of the simulated Nova: its states, its scheduled steps, and its JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import Any

from .clock import format_naive, format_zulu

# Nova derives the status from vm_state and task_state (nova/api/openstack/common.py has the full table).
_STATUS = {
    "active": "ACTIVE",
    "building": "BUILD",
    "stopped": "SHUTOFF",
    "resized": "VERIFY_RESIZE",
    "paused": "PAUSED",
    "suspended": "SUSPENDED",
    "rescued": "RESCUE",
    "error": "ERROR",
    "deleted": "DELETED",
    "soft-delete": "SOFT_DELETED",
    "shelved": "SHELVED",
    "shelved_offloaded": "SHELVED_OFFLOADED",
}
_STATUS_BY_TASK = {
    "rebooting": "REBOOT",
    "rebooting_hard": "HARD_REBOOT",
    "resize_prep": "RESIZE",
    "resize_migrating": "RESIZE",
    "resize_migrated": "RESIZE",
    "resize_finish": "RESIZE",
    "resize_reverting": "REVERT_RESIZE",
    "rebuilding": "REBUILD",
    "rebuild_block_device_mapping": "REBUILD",
    "rebuild_spawning": "REBUILD",
    "updating_password": "PASSWORD",
    "migrating": "MIGRATING",
}
VM_STATE_BY_STATUS = {status: vm_state for vm_state, status in _STATUS.items()}
POWER_BY_VM_STATE = {
    "active": 1,
    "paused": 3,
    "stopped": 4,
    "suspended": 4,
    "shelved": 4,
    "shelved_offloaded": 4,
}


@dataclass(slots=True)
class SimulatedServer:
    """A server. `plan` lists its scheduled steps: time, changed fields, and events ("launch", "gone")."""

    id: str
    name: str
    project_id: str
    user_id: str
    flavor: dict[str, Any]
    image_id: str | None
    created: float
    updated: float
    vm_state: str = "building"
    task_state: str | None = "scheduling"
    power_state: int = 0
    launched: float | None = None
    terminated: float | None = None
    addresses: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    key_name: str | None = None
    zone: str = "nova"
    fault: dict[str, Any] | None = None
    volumes: list[dict[str, Any]] = field(default_factory=list)
    actions: list[dict[str, Any]] = field(default_factory=list)
    port_ids: list[str] = field(default_factory=list)
    locked: bool = False
    description: str | None = None
    old_flavor: dict[str, Any] | None = None
    # The properties that Nova copies from the image at the build, for images that are created from the server.
    image_meta: dict[str, Any] = field(default_factory=dict)
    shelved_image_id: str | None = None
    group_names: list[str] = field(default_factory=lambda: ["default"])
    # The requested security groups; None for the project's default.
    group_ids: list[str] | None = None
    host: str | None = None
    group_id: str | None = None
    config_drive: bool = False
    user_data: str | None = None
    # The last password that was set; only the control API shows it.
    admin_password: str | None = None
    # What a Windows server reports to Nova: its password, encrypted, in base64.
    encrypted_password: str = ""
    locked_by: str | None = None
    locked_reason: str | None = None
    # Values that are shown instead of the real ones, by field, for tests of clients.
    raw: dict[str, Any] = field(default_factory=dict)
    # A status that Nova does not have; the name is stored in data files.
    odd_status: str | None = None
    plan: list[list[Any]] = field(default_factory=list)
    # When Nova reads the floating IPs of its ports anew; None when it has the present ones.
    addresses_due: float | None = None
    text: str | None = None

    @property
    def is_waiting(self) -> bool:
        """Return whether anything about it will change by itself."""
        return bool(self.plan) or self.addresses_due is not None

    @property
    def status(self) -> str:
        """Return Nova's status."""
        if self.odd_status:
            return self.odd_status
        if (
            self.vm_state in {"active", "stopped", "resized", "error", "paused", "suspended"}
            and self.task_state
        ):
            return _STATUS_BY_TASK.get(self.task_state, _STATUS[self.vm_state])
        return _STATUS.get(self.vm_state, "UNKNOWN")

    @property
    def is_volume_booted(self) -> bool:
        """Return whether the root disk is a volume. A server from an image of a volume-booted server has an image id nevertheless."""
        return self.image_id is None or any(volume.get("root") for volume in self.volumes)

    @property
    def is_on_host(self) -> bool:
        """Return whether a host has the server. A failed build leaves nothing on a host."""
        if self.vm_state == "error":
            return self.launched is not None
        return self.vm_state not in {"building", "shelved_offloaded", "deleted"}

    @property
    def is_deleted(self) -> bool:
        """Return whether only the history is left."""
        return self.vm_state == "deleted"

    def to_json(self) -> dict[str, Any]:
        """Return the fields for the data file."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "text"}

    def json_text(self, base: str, *, plain_old: bool = False, is_admin: bool = False) -> str:
        """Return the server's details as JSON, cached until a change: a listing of 10,000 servers then only joins texts."""
        if plain_old:
            return json.dumps(self._as_json(base, plain_old=True))
        if self.text is None:
            self.text = json.dumps(self._as_json(base, plain_old=False))
        return self._add_admin_fields(self.text) if is_admin else self.text

    def _add_admin_fields(self, text: str) -> str:
        shown = {
            "OS-EXT-SRV-ATTR:host": self.host,
            "OS-EXT-SRV-ATTR:hypervisor_hostname": self.host,
            "OS-EXT-SRV-ATTR:instance_name": f"instance-{self.id[:8]}",
            "OS-EXT-SRV-ATTR:hostname": self.name,
            "OS-EXT-SRV-ATTR:root_device_name": "/dev/vda",
            "OS-EXT-SRV-ATTR:user_data": self.user_data,
        }
        return f"{text[:-1]}, {json.dumps(shown)[1:]}"

    def _as_json(self, base: str, *, plain_old: bool) -> dict[str, Any]:
        links = [{"rel": "self", "href": f"{base}/servers/{self.id}"}]
        if plain_old:
            # Before microversion 2.47 the flavor was a reference.
            flavor: dict[str, Any] = {"id": self.flavor["id"], "links": []}
        else:
            flavor = {key: value for key, value in self.flavor.items() if key != "id"}
        found: dict[str, Any] = {
            "id": self.id,
            "name": self.name,
            "status": self.status,
            "tenant_id": self.project_id,
            "user_id": self.user_id,
            "metadata": self.metadata,
            "hostId": ""
            if self.vm_state in {"building", "shelved_offloaded"}
            else "f752dd5679075e487efccc0c1fa3c0e8cf95148cf87ed5ddc175b35a",
            "image": {"id": self.image_id, "links": []} if self.image_id else "",
            "flavor": flavor,
            "created": format_zulu(self.created),
            "updated": format_zulu(self.updated),
            "addresses": self.addresses,
            "accessIPv4": "",
            "accessIPv6": "",
            "links": links,
            "OS-DCF:diskConfig": "MANUAL",
            "OS-EXT-AZ:availability_zone": ""
            if self.task_state == "scheduling" or self.vm_state == "shelved_offloaded"
            else self.zone,
            "config_drive": "True" if self.config_drive else "",
            "key_name": self.key_name,
            "OS-SRV-USG:launched_at": format_naive(self.launched),
            "OS-SRV-USG:terminated_at": format_naive(self.terminated),
            "OS-EXT-STS:task_state": self.task_state,
            "OS-EXT-STS:vm_state": self.vm_state,
            "OS-EXT-STS:power_state": self.power_state,
            "os-extended-volumes:volumes_attached": [
                {"id": v["id"], "delete_on_termination": v["delete_on_termination"]} for v in self.volumes
            ],
            "locked": self.locked,
            "description": self.description,
            "tags": self.tags,
            "trusted_image_certificates": None,
        }
        if self.vm_state == "error" or self.status == "ERROR":
            found["fault"] = self.fault or {
                "code": 500,
                "created": format_zulu(self.updated),
                "message": "Unexpected error",
            }
        else:
            found["progress"] = 0
        if self.vm_state != "building":
            found["security_groups"] = [{"name": name} for name in self.group_names]
        return {**found, **self.raw}
