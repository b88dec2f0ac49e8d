"""Nova: actions on servers, the states that allow them, and their effects."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from . import nova_migrations, nova_passwords, nova_rebuild
from .calls import Call
from .http_messages import Response, bad_request, conflict, not_found, service_error
from .nova_consoles import show_console_output
from .nova_history import record_action
from .nova_images import (
    build_image,
    build_image_meta,
    check_flavor_fits,
    store_disk_image,
    store_volume_image,
)
from .nova_lookup import check_lock, find_server
from .nova_quotas import check_server_quota
from .nova_tags import check_name, validate_metadata
from .nova_transitions import Plan, Transition, begin_delete, begin_transition
from .server import SimulatedServer
from .state import Resource
from .transitions import advance_server, schedule_steps

_TRANSITIONS = {
    "os-start": Transition("start", ("stopped",), "powering-on", "active", 1),
    "os-stop": Transition("stop", ("active", "error"), "powering-off", "stopped", 4),
    "pause": Transition("pause", ("active",), "pausing", "paused", 3),
    "unpause": Transition("unpause", ("paused",), "unpausing", "active", 1),
    "suspend": Transition("suspend", ("active",), "suspending", "suspended", 4),
    "resume": Transition("resume", ("suspended",), "resuming", "active", 1),
    "shelve": Transition(
        "shelve", ("active", "stopped", "paused", "suspended"), "shelving", "shelved_offloaded", 4
    ),
    "unshelve": Transition("unshelve", ("shelved", "shelved_offloaded"), "unshelving", "active", 1),
    "rescue": Transition("rescue", ("active", "stopped", "error"), "rescuing", "rescued", 1),
    "unrescue": Transition("unrescue", ("rescued",), "unrescuing", "active", 1),
    "rebuild": Transition("rebuild", ("active", "stopped", "error"), "rebuilding", "active", 1),
    "confirmResize": Transition("confirmResize", ("resized",), None, "active", 1),
    "revertResize": Transition("revertResize", ("resized",), "resize_reverting", "active", 1),
}
_SOFT_REBOOT = Transition("reboot", ("active",), "rebooting", "active", 1)
_HARD_REBOOT = Transition(
    "reboot", ("active", "stopped", "paused", "suspended", "error"), "rebooting_hard", "active", 1,
    ("rebooting", "rebooting_hard", "pausing", "unpausing", "suspending", "resuming"),
)  # fmt: skip
_RESIZE = Transition("resize", ("active", "stopped"), "resize_prep", "resized", 1)
_CREATE_IMAGE = Transition(
    "createImage", ("active", "stopped", "paused", "suspended"), "image_snapshot_pending", "active", 1
)


def run_action(call: Call, server_id: str) -> Response:
    """Run an action: `POST /servers/<id>/action`."""
    body = call.request.json()
    action = next(iter(body), "")
    call.action, call.object_id = action, server_id
    if len(body) != 1:
        raise bad_request("Malformed request body")
    handler = _OTHER_ACTIONS.get(action)
    if handler is None and action not in {*_TRANSITIONS, *nova_migrations.ACTIONS, "reboot", "resize"}:
        raise bad_request(f"There is no such action: {action}")
    argument = body[action]
    _check_body(call, action, argument)
    server = find_server(call, server_id)
    if server.task_state == "scheduling" and handler is not show_console_output:
        # On a real Nova, actions do not find a server until a cell has it.
        raise not_found(f"Instance {server_id} could not be found.")
    if handler is not None:
        answer = handler(call, server, argument)
        call.record_accepted(action, server_id)
        return answer
    if action in nova_migrations.ACTIONS:
        nova_migrations.check_request(call, server, action, argument)
    if action != "evacuate":
        check_lock(call, server)
    _check_on_host(server, action)
    return _run_transition(call, server, action, argument)


def _run_transition(call: Call, server: SimulatedServer, action: str, argument: Any) -> Response:
    """Run an action that ends in a state of its own, if the server's present one allows it."""
    transition = _select_transition(call, server, action, argument)
    problem = _find_conflict(server, transition)
    if problem is None and action in {"confirmResize", "revertResize"} and _is_confirming(server):
        raise bad_request("Instance has not been resized.")
    races = call.state.race_behavior
    is_concurrent = call.is_concurrent and races.enabled
    if problem is not None:
        chance = call.state.chance.random()
        if not is_concurrent or chance >= races.duplicate_rate + races.error_rate:
            # Nova's message has the name of the action in the request, which is another for a few.
            name = action if action in nova_migrations.ACTIONS else transition.name
            raise conflict(f"Cannot '{name}' instance {server.id} while it is in {problem}")
        if chance >= races.duplicate_rate:
            raise _race_error()
    _check_details(call, server, action, argument)
    begin_transition(call, server, transition, _build_plan(call, server, transition, action, argument))
    call.record_accepted(action, server.id)
    if is_concurrent and call.state.chance.random() < races.done_but_error_rate:
        raise _race_error()
    return _build_answer(call, server, action)


def _check_details(call: Call, server: SimulatedServer, action: str, argument: Any) -> None:
    """Raise `HttpError` for what Nova refuses once the server's state allows the action."""
    if action == "rescue":
        nova_rebuild.check_rescue(call, server, argument)
    elif action == "rebuild":
        nova_rebuild.check_rebuild(call, server, argument)
    elif action in nova_migrations.ACTIONS:
        nova_migrations.check_host(call, server, action, argument)


def _build_plan(
    call: Call, server: SimulatedServer, transition: Transition, action: str, argument: Any
) -> Plan | None:
    """Return the steps of an action that has its own, after changing at once what the action changes at once."""
    if action == "rescue":
        nova_rebuild.begin_rescue(server, argument)
    elif action == "rebuild":
        steps, changes = nova_rebuild.build_rebuild_steps(server, transition.build_last_changes())
        nova_rebuild.begin_rebuild(call, server, argument)
        return steps, changes, ["launch"]
    elif action in nova_migrations.ACTIONS:
        return nova_migrations.build_steps(call, server, action, argument, transition.build_last_changes())
    return None


def _build_answer(call: Call, server: SimulatedServer, action: str) -> Response:
    password = server.admin_password or call.state.new_hex()[:12]
    if action == "rescue":
        return Response(200, {"adminPass": password})
    if action == "rebuild":
        shown = json.loads(server.json_text(call.base))
        return Response(202, {"server": {**shown, "adminPass": password}})
    if action == "evacuate":
        return Response(200)
    return Response(204 if action == "confirmResize" else 202)


def _check_on_host(server: SimulatedServer, action: str) -> None:
    if action in {"rescue", "rebuild"}:
        nova_rebuild.check_launched(server, action)
    if action not in {"os-start", "os-stop", "reboot"} or server.vm_state == "building":
        return
    if not server.is_on_host:
        raise conflict(f"Instance {server.id} is not ready")


def _check_body(call: Call, action: str, argument: Any) -> None:
    """Raise `HttpError` 400 for a body that Nova's schemas reject before the server is looked up."""
    if action == "createImage":
        check_name(argument.get("name") if isinstance(argument, dict) else None)
        validate_metadata(call, argument.get("metadata") or {})
    if action != "reboot":
        return
    kind = str(argument.get("type", "")) if isinstance(argument, dict) else ""
    if kind not in {"HARD", "Hard", "hard", "SOFT", "Soft", "soft"}:
        raise bad_request(
            f"Invalid input for field/attribute type. Value: {kind}. '{kind}' is not one of "
            "['HARD', 'Hard', 'hard', 'SOFT', 'Soft', 'soft']"
        )


def _race_error() -> Exception:
    return service_error(
        500,
        "computeFault",
        "Unexpected API Error. Please report this at http://bugs.launchpad.net/nova/ and attach the Nova API log if "
        "possible.\n<class 'nova.exception.UnexpectedTaskStateError'>",
    )


def _select_transition(call: Call, server: SimulatedServer, action: str, argument: Any) -> Transition:
    if action == "reboot":
        return _HARD_REBOOT if str(argument["type"]).upper() == "HARD" else _SOFT_REBOOT
    if action == "resize":
        requested = argument.get("flavorRef") if isinstance(argument, dict) else None
        flavor = call.region.flavors.get(str(requested))
        if flavor is None:
            raise bad_request(f"Flavor {requested} could not be found.")
        if flavor["id"] == server.flavor["id"]:
            raise bad_request("When resizing, instances must change flavor!")
        if _find_conflict(server, _RESIZE) is None:
            _check_resize(call, server, flavor)
        return _RESIZE
    return _TRANSITIONS.get(action) or nova_migrations.ACTIONS[action]


def _find_conflict(server: SimulatedServer, transition: Transition) -> str | None:
    """Return the state that forbids the transition, in Nova's words, or None."""
    if server.vm_state not in transition.allowed:
        return f"vm_state {server.vm_state}"
    if server.task_state is not None and server.task_state not in transition.allowed_tasks:
        if server.task_state == "deleting":
            return f"vm_state {server.vm_state}"
        return f"task_state {server.task_state}"
    return None


def _check_resize(call: Call, server: SimulatedServer, flavor: Resource) -> None:
    check_server_quota(call, flavor, instead_of=server.flavor)
    if not server.is_volume_booted:
        image = call.region.images.get(server.image_id or "")
        check_flavor_fits(server.image_meta or build_image_meta(image, server.flavor), flavor, volume_gb=None)


def _is_confirming(server: SimulatedServer) -> bool:
    """Return whether a resize is being confirmed, while Nova still shows VERIFY_RESIZE and no task."""
    return any("old_flavor" in changes for _, changes, _ in server.plan)


def _create_image(call: Call, server: SimulatedServer, argument: Any) -> Response:
    problem = _find_conflict(server, _CREATE_IMAGE)
    if problem is not None:
        raise conflict(f"Cannot 'createImage' instance {server.id} while it is in {problem}")
    now, seconds = call.now, call.state.clock.action_seconds
    image = build_image(call, server, argument["name"], argument.get("metadata") or {})
    record_action(call, server, "createImage")
    if server.is_volume_booted:
        store_volume_image(call, server, image)
    else:
        store_disk_image(call, server, image)
        server.task_state = "image_snapshot_pending"
        steps: list[list[Any]] = [
            [now + seconds * 0.25, {"task_state": "image_snapshot"}, []],
            [now + seconds * 0.5, {"task_state": "image_uploading"}, []],
            [now + seconds, {"task_state": None}, []],
        ]
        schedule_steps(server, steps)
        server.updated, server.text = now, None
        advance_server(call.state, call.region, server, now)
    call.state.dirty = True
    return Response(202, {"image_id": image["id"]} if call.microversion >= (2, 45) else None)


def _force_delete(call: Call, server: SimulatedServer, argument: Any) -> Response:
    if not (call.state.force_delete or call.token.is_admin):
        rule = "os_compute_api:os-deferred-delete:force"
        raise service_error(403, "forbidden", f"Policy doesn't allow {rule} to be performed.")
    check_lock(call, server)
    if server.task_state == "deleting":
        return Response(202)
    begin_delete(call, server)
    return Response(202)


def _reset_state(call: Call, server: SimulatedServer, argument: Any) -> Response:
    call.require_admin("os_compute_api:os-admin-actions:reset_state")
    server.vm_state = "active" if (argument or {}).get("state") == "active" else "error"
    server.task_state, server.plan, server.odd_status, server.updated, server.text = (
        None,
        [],
        None,
        call.now,
        None,
    )
    return Response(202)


def _accept_only(call: Call, server: SimulatedServer, argument: Any) -> Response:
    return Response(202)


_OTHER_ACTIONS: dict[str, Callable[[Call, SimulatedServer, Any], Response]] = {
    "createImage": _create_image,
    "os-getConsoleOutput": show_console_output,
    "changePassword": nova_passwords.change_password,
    "lock": nova_passwords.lock,
    "unlock": nova_passwords.unlock,
    "forceDelete": _force_delete,
    "os-resetState": _reset_state,
    "addSecurityGroup": _accept_only,
    "removeSecurityGroup": _accept_only,
    "shelveOffload": _accept_only,
}


TABLE: list[tuple[str, str, Callable[..., Response]]] = [
    ("POST", "/servers/<server_id>/action", run_action),
]
