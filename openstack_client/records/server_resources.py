"""Records of what belongs to servers in Nova: their interfaces, groups, migrations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import UnreadableRecordError
from .json_values import (
    MAX_COUNT,
    count,
    get_project_id,
    reference,
    references,
    require_id,
    text,
)


@dataclass(frozen=True, slots=True)
class ServerInterface:
    """A port on a server."""

    port_id: str

    @classmethod
    def from_json(cls, raw: Any) -> ServerInterface:
        """Return the record of one element of Nova's `interfaceAttachments`."""
        port_id = reference(raw.get("port_id")) if isinstance(raw, dict) else None
        if port_id is None:
            raise UnreadableRecordError("an interface without a port")
        return cls(port_id)


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
        )


@dataclass(frozen=True, slots=True)
class ServerMigration:
    """A migration of a server, of any age. `kind` is "migration" (cold), "resize", "live-migration" or "evacuation".

    `status` is Nova's, in lower case: "accepted", "running", "finished", "confirmed", "completed", "error" ...
    """

    id: str
    kind: str
    status: str
    number: int | None = None  # By which Nova's requests about one migration name it.

    @classmethod
    def from_json(cls, raw: Any) -> ServerMigration:
        """Return the record of one element of Nova's `migrations`, microversion 2.59 or later."""
        migration_id = reference(raw.get("uuid")) if isinstance(raw, dict) else None
        if migration_id is None:
            raise UnreadableRecordError("a migration without an id")
        return cls(
            id=migration_id,
            kind=text(raw.get("migration_type")) or "",
            status=(text(raw.get("status")) or "unknown").lower(),
            number=count(raw.get("id"), MAX_COUNT),
        )


def _read_rule(value: Any) -> int | None:
    """Return a number of a rule, which Nova stores as text."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 9:
        value = int(value)
    return count(value, MAX_COUNT)
