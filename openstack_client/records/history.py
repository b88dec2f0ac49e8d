"""Records of work in progress: the events of Nova's actions, and Cinder's attachments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..translation import malformed_answer
from .json_values import require_id, text, timestamp


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """An event of an action: a task that a service of Nova has begun. `finished_at` is None until it ends.

    `result` is "Success" or "Error".
    """

    name: str
    started_at: datetime | None
    finished_at: datetime | None
    result: str | None

    @classmethod
    def from_json(cls, raw: Any) -> ServerEvent:
        """Return the record of one element of the `events` of an instance action."""
        if not isinstance(raw, dict) or not isinstance(raw.get("event"), str):
            raise malformed_answer("an event without a name")
        return cls(
            name=raw["event"],
            started_at=timestamp(raw.get("start_time")),
            finished_at=timestamp(raw.get("finish_time")),
            result=text(raw.get("result")),
        )


@dataclass(frozen=True, slots=True)
class VolumeReservation:
    """An attachment in Cinder: a server has a volume, or a volume is reserved for it.

    `status` is "reserved", "attaching", "attached", "detaching" or "error_attaching". Nova creates the attachment before it
    attaches the volume, so one that stays "reserved" is left over from a request that died inside Nova.
    """

    id: str
    volume_id: str | None
    server_id: str | None
    status: str

    @classmethod
    def from_json(cls, raw: Any) -> VolumeReservation:
        """Return the record of one element of Cinder's `attachments`."""
        return cls(
            id=require_id(raw, "attachment"),
            volume_id=text(raw.get("volume_id")),
            server_id=text(raw.get("instance")),
            status=text(raw.get("status")) or "unknown",
        )
