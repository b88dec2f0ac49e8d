"""Nova: what can be done to a server, from which states, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .exchange import Answer, Call, bad_request, conflict, not_found, refuse
from .moves import plan_server, settle_server
from .nova_consoles import console_output
from .nova_steps import Move, begin, begin_delete, record
from .nova_tags import check_name, checked_metadata
from .server import SimulatedServer
from .state import Thing

_MOVES = {
    "os-start": Move("start", ("stopped",), "powering-on", "active", 1),
    "os-stop": Move("stop", ("active", "error"), "powering-off", "stopped", 4),
    "pause": Move("pause", ("active",), "pausing", "paused", 3),
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
_IMAGE = Move(
    "createImage", ("active", "stopped", "paused", "suspended"), "image_snapshot_pending", "active", 1
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
    _check_body(call, word, argument)
    server = find(call, server_id)
    if server.task_state == "scheduling" and special is not console_output:
        # So it is on a real Nova: until a cell has the server, actions do not find it.
        raise not_found(f"Instance {server_id} could not be found.")
    if special is not None:
        answer = special(call, server, argument)
        call.did(word, server_id)
        return answer
    _check_host(server, word)
    move = _move_for(call, server, word, argument)
    problem = _problem(server, move)
    if problem is None and word in {"confirmResize", "revertResize"} and _is_confirming(server):
        raise bad_request("Instance has not been resized.")
    untidy = call.state.untidiness
    crowded = call.simultaneous and untidy.enabled
    if problem is not None:
        chance = call.state.chance.random()
        if not crowded or chance >= untidy.duplicate_rate + untidy.error_rate:
            raise conflict(f"Cannot '{move.name}' instance {server_id} while it is in {problem}")
        if chance >= untidy.duplicate_rate:
            raise _unexpected()
    begin(call, server, move)
    call.did(word, server_id)
    if crowded and call.state.chance.random() < untidy.done_but_error_rate:
        raise _unexpected()
    return Answer(204 if word == "confirmResize" else 202)


def _check_host(server: SimulatedServer, word: str) -> None:
    if word not in {"os-start", "os-stop", "reboot"} or server.vm_state == "building":
        return
    if not server.is_on_a_host:
        raise conflict(f"Instance {server.id} is not ready")


def _check_body(call: Call, word: str, argument: Any) -> None:
    """What Nova's schemas refuse before it looks for the server."""
    if word == "createImage":
        check_name(argument.get("name") if isinstance(argument, dict) else None)
        checked_metadata(call, argument.get("metadata") or {})
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
        if _problem(server, _RESIZE) is None:
            _check_resize(call, server, flavor)
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


def _check_resize(call: Call, server: SimulatedServer, flavor: Thing) -> None:
    from .nova import check_server_quota  # noqa: PLC0415 - the two know each other.
    from .nova_images import check_fits, image_meta  # noqa: PLC0415

    check_server_quota(call, flavor, instead_of=server.flavor)
    if not server.is_volume_booted:
        image = call.region.images.get(server.image_id or "")
        check_fits(server.image_meta or image_meta(image, server.flavor), flavor, volume_gb=None)


def _is_confirming(server: SimulatedServer) -> bool:
    """While it confirms, Nova shows VERIFY_RESIZE and no task, as before."""
    return any("old_flavor" in changes for _, changes, _ in server.plan)


def _create_image(call: Call, server: SimulatedServer, argument: Any) -> Answer:
    from .nova_images import image_of, keep_disk_image, keep_volume_image  # noqa: PLC0415

    problem = _problem(server, _IMAGE)
    if problem is not None:
        raise conflict(f"Cannot 'createImage' instance {server.id} while it is in {problem}")
    now, seconds = call.now, call.state.clock.action_seconds
    image = image_of(call, server, argument["name"], argument.get("metadata") or {})
    record(call, server, "createImage")
    if server.is_volume_booted:
        keep_volume_image(call, server, image)
    else:
        keep_disk_image(call, server, image)
        server.task_state = "image_snapshot_pending"
        steps: list[list[Any]] = [
            [now + seconds * 0.25, {"task_state": "image_snapshot"}, []],
            [now + seconds * 0.5, {"task_state": "image_uploading"}, []],
            [now + seconds, {"task_state": None}, []],
        ]
        plan_server(server, steps)
        server.updated, server.text = now, None
        settle_server(call.state, call.region, server, now)
    call.state.dirty = True
    return Answer(202, {"image_id": image["id"]} if call.microversion >= (2, 45) else None)


def _lock(call: Call, server: SimulatedServer, argument: Any) -> Answer:
    server.locked, server.text = True, None
    return Answer(202)


def _unlock(call: Call, server: SimulatedServer, argument: Any) -> Answer:
    server.locked, server.text = False, None
    return Answer(202)


def _force_delete(call: Call, server: SimulatedServer, argument: Any) -> Answer:
    if not (call.state.force_delete or call.token.is_admin):
        rule = "os_compute_api:os-deferred-delete:force"
        raise refuse(403, "forbidden", f"Policy doesn't allow {rule} to be performed.")
    if server.task_state == "deleting":
        return Answer(202)
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
    "os-getConsoleOutput": console_output,
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
    return Answer(200, {"instanceActions": [_shown(action) for action in server.actions]})


def _shown(action: Thing) -> Thing:
    return {name: value for name, value in action.items() if name != "lost"}


def _events(server: SimulatedServer, action: Thing) -> list[Thing]:
    """The one piece of work of an action: none for one whose message reached nobody."""
    if action.get("lost"):
        return []
    goes_on = bool(server.plan) and action is server.actions[0]
    event = {
        "event": f"compute_{action['action']}_instance",
        "start_time": action["start_time"],
        "finish_time": None if goes_on else action["updated_at"],
        "result": None if goes_on else action["message"] or "Success",
        "host": None,
        "hostId": "",
        "details": None,
    }
    return [event]


def show_action(call: Call, server_id: str, request_id: str) -> Answer:
    """One entry."""
    server = _with_history(call, server_id)
    found = next((a for a in server.actions if a["request_id"] == request_id), None)
    if found is None:
        raise not_found(f"Action for request_id {request_id} on instance {server_id} not found")
    return Answer(200, {"instanceAction": {**_shown(found), "events": _events(server, found)}})


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
