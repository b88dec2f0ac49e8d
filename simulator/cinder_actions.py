"""Cinder: actions on volumes, `POST /volumes/<id>/action`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .calls import Call
from .cinder_lookup import find_volume
from .cinder_quotas import check_quota, check_volume_size
from .http_messages import Response, bad_request, service_error
from .state import Resource
from .transitions import schedule_change

# Since this microversion, a volume in use can be extended.
_EXTENDS_IN_USE = (3, 42)
_MAX_SIZE = 2**31 - 1
# Actions that Nova requests of Cinder, and that change nothing here.
_RESERVATIONS = {"os-reserve", "os-unreserve", "os-begin_detaching"}


def run_action(call: Call, volume_id: str) -> Response:
    """Run the action that the only key of the body names."""
    body = call.request.json()
    action = next(iter(body), "")
    call.action, call.object_id = action, volume_id
    argument: Any = body.get(action) or {}
    size = _validate_size(argument) if action == "os-extend" else 0
    volume = find_volume(call, volume_id)
    if action == "os-extend":
        _extend(call, volume, size)
    elif action in _ACTIONS:
        _ACTIONS[action](call, volume, argument)
    elif action not in _RESERVATIONS:
        raise bad_request(f"There is no such action: {action}")
    call.state.dirty = True
    call.record_accepted(action, volume_id)
    return Response(202)


def _validate_size(argument: Resource) -> int:
    start = "Invalid input for field/attribute"
    if "new_size" not in argument:
        raise bad_request(f"{start} os-extend. Value: {argument}. 'new_size' is a required property")
    size, field = argument["new_size"], f"{start} new_size. Value: {argument['new_size']}."
    if isinstance(size, bool) or not isinstance(size, int | str):
        raise bad_request(f"{field} {size} is not of type 'integer', 'string'")
    if isinstance(size, str) and not re.fullmatch("[0-9]+", size):
        raise bad_request(f"{field} {size!r} does not match '^[0-9]+$'")
    if int(size) < 1:
        raise bad_request(f"{field} {size} is less than the minimum of 1")
    if int(size) > _MAX_SIZE:
        raise bad_request(f"{field} {size} is greater than the maximum of {_MAX_SIZE}")
    return int(size)


def _extend(call: Call, volume: Resource, size: int) -> None:
    """Extend a volume. Checks in Cinder's order: size, status, quota."""
    more, before, state = size - volume["size"], volume["status"], call.state
    if more <= 0:
        raise bad_request(
            "Invalid input received: New size for extend must be greater than current size. "
            f"(current: {volume['size']}, extended: {size})."
        )
    may_be_in_use = call.microversion >= _EXTENDS_IN_USE and before == "in-use"
    if before != "available" and not may_be_in_use:
        raise bad_request(
            f"Invalid volume: Volume {volume['id']} status must be '{{'status': 'available'}}' to extend, "
            f"currently {before}."
        )
    check_volume_size(call, size)
    check_quota(call, "volumes", 0, more, volume["volume_type"])
    volume["status"] = "extending"
    final_fields = (
        {"status": "error_extending"} if state.consume_failure("extend") else {"status": before, "size": size}
    )
    schedule_change(volume, call.now + state.clock.volume_seconds, final_fields)


def _set_bootable(_call: Call, volume: Resource, argument: Resource) -> None:
    volume["bootable"] = "true" if str(argument.get("bootable")).lower() == "true" else "false"


def _reset_status(call: Call, volume: Resource, argument: Resource) -> None:
    if not call.token.is_admin:
        raise service_error(403, "forbidden", "Policy doesn't allow volume_extension:reset.")
    volume["status"] = argument.get("status", volume["status"])


def _roll_detaching(_call: Call, volume: Resource, _argument: Resource) -> None:
    if volume["status"] == "detaching":
        volume["status"] = "in-use"


_ACTIONS: dict[str, Callable[[Call, Resource, Resource], None]] = {
    "os-set_bootable": _set_bootable,
    "os-reset_status": _reset_status,
    "os-roll_detaching": _roll_detaching,
}
