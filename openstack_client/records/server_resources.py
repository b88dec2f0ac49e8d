"""Records of what belongs to servers in Nova: their interfaces, groups, migrations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..errors import UnreadableRecordError
from .json_values import (
    MAX_COUNT,
    MAX_MEMBERS,
    address,
    count,
    get_project_id,
    mac_address,
    reference,
    references,
    require_id,
    text,
    timestamp,
)
from .network import FixedIp


@dataclass(frozen=True, slots=True)
class ServerInterface:
    """A port on a server. `port_state` is Neutron's status of it: ACTIVE, DOWN, BUILD."""

    port_id: str
    network_id: str
    port_state: str
    fixed_ips: tuple[FixedIp, ...] = ()
    mac_address: str | None = None

    @classmethod
    def from_json(cls, raw: Any) -> ServerInterface:
        """Return the record of one element of Nova's `interfaceAttachments`."""
        port_id = reference(raw.get("port_id")) if isinstance(raw, dict) else None
        if port_id is None:
            raise UnreadableRecordError("an interface without a port")
        fixed = raw.get("fixed_ips")
        return cls(
            port_id=port_id,
            network_id=reference(raw.get("net_id")) or "",
            port_state=(text(raw.get("port_state")) or "UNKNOWN").upper(),
            fixed_ips=tuple(
                FixedIp(reference(entry.get("subnet_id")) or "", ip)
                for entry in fixed[:MAX_MEMBERS]
                if isinstance(entry, dict) and (ip := address(entry.get("ip_address"))) is not None
            )
            if isinstance(fixed, list)
            else (),
            mac_address=mac_address(raw.get("mac_addr")),
        )


@dataclass(frozen=True, slots=True)
class ServerGroup:
    """A server group: a rule about the hosts of its members. Its name is not unique.

    `policy` is "affinity", "anti-affinity", "soft-affinity" or "soft-anti-affinity". `max_servers_per_host` is the rule of
    "anti-affinity", None without one. `member_ids` are the servers that were created in it and are not deleted.
    """

    id: str
    name: str
    policy: str
    max_servers_per_host: int | None = None
    member_ids: tuple[str, ...] = ()
    project_id: str | None = None
    user_id: str | None = None

    @classmethod
    def from_json(cls, raw: Any) -> ServerGroup:
        """Return the record of one element of Nova's `server_groups`, microversion 2.64 or later."""
        group_id = require_id(raw, "server group")
        rules = raw.get("rules")
        return cls(
            id=group_id,
            name=text(raw.get("name")) or "",
            policy=text(raw.get("policy")) or "",
            max_servers_per_host=_read_rule(rules.get("max_server_per_host"))
            if isinstance(rules, dict)
            else None,
            member_ids=references(raw.get("members")),
            project_id=get_project_id(raw),
            user_id=text(raw.get("user_id")),
        )


@dataclass(frozen=True, slots=True)
class ServerMigration:
    """A migration of a server, of any age. `kind` is "migration" (cold), "resize", "live-migration" or "evacuation".

    `status` is Nova's, in lower case: "accepted", "running", "finished", "confirmed", "completed", "error" ...
    Hosts are named only to administrators.
    """

    id: str
    server_id: str | None
    kind: str
    status: str
    source_host: str | None = None
    destination_host: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @classmethod
    def from_json(cls, raw: Any) -> ServerMigration:
        """Return the record of one element of Nova's `migrations`, microversion 2.59 or later."""
        migration_id = reference(raw.get("uuid")) if isinstance(raw, dict) else None
        if migration_id is None:
            raise UnreadableRecordError("a migration without an id")
        return cls(
            id=migration_id,
            server_id=reference(raw.get("instance_uuid")),
            kind=text(raw.get("migration_type")) or "",
            status=(text(raw.get("status")) or "unknown").lower(),
            source_host=text(raw.get("source_compute")),
            destination_host=text(raw.get("dest_compute")),
            created_at=timestamp(raw.get("created_at")),
            updated_at=timestamp(raw.get("updated_at")),
        )


def _read_rule(value: Any) -> int | None:
    """Return a number of a rule, which Nova stores as text."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 9:
        value = int(value)
    return count(value, MAX_COUNT)
