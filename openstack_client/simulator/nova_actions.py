"""Nova: what can be done to a server, from which states, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .clock import plain, zulu
from .exchange import Answer, Call, bad_request, conflict, not_found, refuse
from .moves import settle_server
from .server import SimulatedServer
from .state import Thing


@dataclass(frozen=True, slots=True)
class Move:
    """One action: Nova's name for it, the states it is allowed in, and where it leads."""

    name: str
    allowed: tuple[str, ...]
    task_state: str | None
    vm_state: str
    power_state: int
    # Task states in which it is allowed besides none at all.
    over: tuple[str, ...] = ()


_MOVES = {
    "os-start": Move("start", ("stopped",), "powering-on", "active", 1),
    "os-stop": Move("stop", ("active", "error"), "powering-off", "stopped", 4),
    "pause": Move("pause", ("active", "rescued"), "pausing", "paused", 3),
    "unpause": Move("unpause", ("paused",), "unpausing", "active", 1),
    "suspend": Move("suspend", ("active",), "suspending", "suspended", 4),
    "resume": Move("resume", ("suspended",), "resuming", "active", 1),
    "shelve": Move(
        "shelve", ("active", "stopped", "paused", "suspended"), "shelving", "shelved_offloaded", 4
    ),
    "unshelve": Move("unshelve", ("shelved", "shelved_offloaded"), "unshelving", "active", 1),
    "rescue": Move("rescue", ("active", "stopped", "error"), "rescuing", "rescued", 1),
    "unrescue": Move("unrescue", ("rescued",), "unrescuing", "active", 1),
    "rebuild": Move("rebuild", ("active", "stopped", "error"), "rebuilding", "active", 1),
    "confirmResize": Move("confirmResize", ("resized",), None, "active", 1),
    "revertResize": Move("revertResize", ("resized",), "resize_reverting", "active", 1),
}
_SOFT = Move("reboot", ("active",), "rebooting", "active", 1)
_HARD = Move(
    "reboot", ("active", "stopped", "paused", "suspended", "error"), "rebooting_hard", "active", 1,
    ("rebooting", "rebooting_hard", "pausing", "unpausing", "suspending", "resuming"),
)  # fmt: skip
_RESIZE = Move("resize", ("active", "stopped"), "resize_prep", "resized", 1)


def record(call: Call, server: SimulatedServer, action: str) -> None:
    """Write the action into the server's history."""
    server.actions.insert(
        0,
        {
            "action": action,
            "instance_uuid": server.id,
            "request_id": call.request_id,
            "user_id": call.token.user_id,
            "project_id": call.token.project_id,
            "start_time": plain(call.now),
            "message": None,
            "updated_at": plain(call.now),
        },
    )


def act(call: Call, server_id: str) -> Answer:
    """`POST /servers/<id>/action`."""
    from .nova import find  # noqa: PLC0415 - the two know each other.

    body = call.request.json()
    word = next(iter(body), "")
    call.action, call.object_id = word, server_id
    if len(body) != 1:
        raise bad_request("Malformed request body")
    special = _SPECIAL.get(word)
    if special is None and word not in {*_MOVES, "reboot", "resize"}:
        raise bad_request(f"There is no such action: {word}")
    argument = body[word]
    _check_body(word, argument)
    server = find(call, server_id)
    if server.task_state == "scheduling":
        # So it is on a real Nova: until a cell has the server, actions do not find it.
        raise not_found(f"Instance {server_id} could not be found.")
    if special is not None:
        answer = special(call, server, argument)
        call.did(word, server_id)
        return answer
    move = _move_for(call, server, word, argument)
    problem = _problem(server, move)
    untidy = call.state.untidiness
    crowded = call.simultaneous and untidy.enabled
    if problem is not None:
        chance = call.state.chance.random()
        if not crowded or chance >= untidy.duplicate_rate + untidy.error_rate:
            raise conflict(f"Cannot '{move.name}' instance {server_id} while it is in {problem}")
        if chance >= untidy.duplicate_rate:
            raise _unexpected()
    _begin(call, server, move)
    call.did(word, server_id)
    if crowded and call.state.chance.random() < untidy.done_but_error_rate:
        raise _unexpected()
    return Answer(202)


def _check_body(word: str, argument: Any) -> None:
    """What Nova's schemas refuse before it looks for the server."""
    if word != "reboot":
        return
    kind = str(argument.get("type", "")) if isinstance(argument, dict) else ""
    if kind not in {"HARD", "Hard", "hard", "SOFT", "Soft", "soft"}:
        raise bad_request(
            f"Invalid input for field/attribute type. Value: {kind}. '{kind}' is not one of "
            "['HARD', 'Hard', 'hard', 'SOFT', 'Soft', 'soft']"
        )


def _unexpected() -> Exception:
    return refuse(
        500,
        "computeFault",
        "Unexpected API Error. Please report this at http://bugs.launchpad.net/nova/ and attach the Nova API log if "
        "possible.\n<class 'nova.exception.UnexpectedTaskStateError'>",
    )


def _move_for(call: Call, server: SimulatedServer, word: str, argument: Any) -> Move:
    if word == "reboot":
        return _HARD if str(argument["type"]).upper() == "HARD" else _SOFT
    if word == "resize":
        wanted = argument.get("flavorRef") if isinstance(argument, dict) else None
        flavor = call.region.flavors.get(str(wanted))
        if flavor is None:
            raise bad_request(f"Flavor {wanted} could not be found.")
        if flavor["id"] == server.flavor["id"]:
            raise bad_request("When resizing, instances must change flavor!")
        return _RESIZE
    return _MOVES[word]


def _problem(server: SimulatedServer, move: Move) -> str | None:
    """What is against it, in Nova's words."""
    if server.vm_state not in move.allowed:
        return f"vm_state {server.vm_state}"
    if server.task_state is not None and server.task_state not in move.over:
        if server.task_state == "deleting":
            return f"vm_state {server.vm_state}"
        return f"task_state {server.task_state}"
    return None


def _begin(call: Call, server: SimulatedServer, move: Move) -> None:
    now = call.now
    changes: Thing = {
        "vm_state": move.vm_state,
        "task_state": None,
        "power_state": move.power_state,
        "fault": None,
    }
    if move.name == "resize":
        from .nova import embedded  # noqa: PLC0415

        wanted = call.request.json()["resize"]["flavorRef"]
        changes["flavor"] = embedded(call.region.flavors[wanted])
        server.old_flavor = {**server.flavor, "_was": server.vm_state}
    elif move.name in {"confirmResize", "revertResize"} and server.old_flavor:
        was = server.old_flavor.pop("_was", "active")
        changes["vm_state"], changes["power_state"] = was, 1 if was == "active" else 4
        if move.name == "revertResize":
            changes["flavor"] = server.old_flavor
        changes["old_flavor"] = None
    record(call, server, move.name)
    server.odd_status = None
    server.task_state = move.task_state
    server.plan = [
        [now + call.state.clock.action_seconds, changes, ["launch"] if move.name == "unshelve" else []]
    ]
    server.updated = now
    server.text = None
    call.state.dirty = True
    if call.state.clock.action_seconds <= 0:
        settle_server(call.state, call.region, server, now)


def begin_delete(call: Call, server: SimulatedServer) -> None:
    """Start the end of a server."""
    record(call, server, "delete")
    server.task_state = "deleting"
    server.odd_status = None
    server.updated = call.now
    server.text = None
    server.plan = [
        [
            call.now + call.state.clock.action_seconds,
            {"vm_state": "deleted", "task_state": None, "power_state": 0},
            ["gone"],
        ]
    ]
    call.state.dirty = True


def _create_image(call: Call, server: SimulatedServer, argument: Any) -> Answer:
    name = argument.get("name") if isinstance(argument, dict) else None
    if not name:
        raise bad_request("Invalid input for field/attribute name.")
    image_id, now = call.state.new_id(), zulu(call.now)
    call.region.images[image_id] = {
        "id": image_id, "name": name, "status": "active", "visibility": "private", "owner": call.token.project_id,
        "min_disk": server.flavor["disk"], "min_ram": 0, "size": 704, "disk_format": "qcow2",
        "container_format": "bare", "protected": False, "tags": [], "created_at": now, "updated_at": now,
        "self": f"/v2/images/{image_id}", "file": f"/v2/images/{image_id}/file", "schema": "/v2/schemas/image",
        "instance_uuid": server.id, "image_type": "snapshot",
    }  # fmt: skip
    record(call, server, "createImage")
    return Answer(202, {"image_id": image_id} if call.microversion >= (2, 45) else None)


def _console_output(call: Call, server: SimulatedServer, argument: Any) -> Answer:
    return Answer(200, {"output": f"simulated console of {server.name}\nlogin: "})


def _lock(call: Call, server: SimulatedServer, argument: Any) -> Answer:
    server.locked, server.text = True, None
    return Answer(202)


def _unlock(call: Call, server: SimulatedServer, argument: Any) -> Answer:
    server.locked, server.text = False, None
    return Answer(202)


def _force_delete(call: Call, server: SimulatedServer, argument: Any) -> Answer:
    begin_delete(call, server)
    return Answer(202)


def _reset_state(call: Call, server: SimulatedServer, argument: Any) -> Answer:
    call.need_admin("os_compute_api:os-admin-actions:reset_state")
    server.vm_state = "active" if (argument or {}).get("state") == "active" else "error"
    server.task_state, server.plan, server.odd_status, server.updated, server.text = (
        None,
        [],
        None,
        call.now,
        None,
    )
    return Answer(202)


def _nothing(call: Call, server: SimulatedServer, argument: Any) -> Answer:
    return Answer(202)


_SPECIAL: dict[str, Callable[[Call, SimulatedServer, Any], Answer]] = {
    "createImage": _create_image,
    "os-getConsoleOutput": _console_output,
    "lock": _lock,
    "unlock": _unlock,
    "forceDelete": _force_delete,
    "os-resetState": _reset_state,
    "addSecurityGroup": _nothing,
    "removeSecurityGroup": _nothing,
    "shelveOffload": _nothing,
}


def list_actions(call: Call, server_id: str) -> Answer:
    """The history, newest first. It outlives the server."""
    server = _with_history(call, server_id)
    return Answer(200, {"instanceActions": server.actions})


def show_action(call: Call, server_id: str, request_id: str) -> Answer:
    """One entry."""
    found = next((a for a in _with_history(call, server_id).actions if a["request_id"] == request_id), None)
    if found is None:
        raise not_found(f"Action for request_id {request_id} on instance {server_id} not found")
    return Answer(200, {"instanceAction": {**found, "events": []}})


def _with_history(call: Call, server_id: str) -> SimulatedServer:
    server = call.region.servers.get(server_id)
    if server is None or not (call.token.is_admin or server.project_id == call.token.project_id):
        raise not_found(f"Instance {server_id} could not be found.")
    settle_server(call.state, call.region, server, call.now)
    return server


TABLE: list[tuple[str, str, Callable[..., Answer]]] = [
    ("POST", "/servers/<server_id>/action", act),
    ("GET", "/servers/<server_id>/os-instance-actions", list_actions),
    ("GET", "/servers/<server_id>/os-instance-actions/<request_id>", show_action),
]
