"""Nova: how an action on a server goes on, step by step, and its entry in the server's history."""

from __future__ import annotations

from dataclasses import dataclass

from .clock import plain, zulu
from .exchange import Call
from .moves import plan_attached, plan_server, settle_server
from .server import SimulatedServer
from .state import Thing

# When, as a part of the whole; what changes; what happens besides.
Step = tuple[float, Thing, list[str]]


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


def begin(call: Call, server: SimulatedServer, move: Move) -> None:
    """Plan what becomes of a server by an action that was accepted."""
    now, seconds = call.now, call.state.clock.action_seconds
    changes: Thing = {
        "vm_state": move.vm_state,
        "task_state": None,
        "power_state": move.power_state,
        "fault": None,
    }
    record(call, server, move.name)
    server.odd_status = None
    server.task_state = move.task_state
    steps: list[Step] = []
    if move.name == "resize":
        steps, changes = _resize_steps(call, server, changes)
    elif move.name in {"confirmResize", "revertResize"} and server.old_flavor:
        before = dict(server.old_flavor)
        was = before.pop("_was", "active")
        changes.update({"vm_state": was, "power_state": 1 if was == "active" else 4, "old_flavor": None})
        if move.name == "revertResize":
            changes["flavor"] = before
    elif move.name == "shelve":
        steps = _shelve_steps(call, server)
    elif move.name == "unshelve":
        steps, changes = _unshelve_steps(call, server, changes)
    events = {"unshelve": ["launch", "unshelved"], "shelve": ["offloaded"]}.get(move.name, [])
    if changes.pop("failed", False):
        events = ["action failed"]
    plan_server(
        server,
        [
            *([now + seconds * part, change, then] for part, change, then in steps),
            [now + seconds, changes, events],
        ],
    )
    server.updated = now
    server.text = None
    call.state.dirty = True
    if seconds <= 0:
        settle_server(call.state, call.region, server, now)


def _resize_steps(call: Call, server: SimulatedServer, changes: Thing) -> tuple[list[Step], Thing]:
    from .nova import embedded  # noqa: PLC0415

    wanted = call.request.json()["resize"]["flavorRef"]
    steps: list[Step] = [(0.3, {"task_state": "resize_migrating"}, [])]
    if call.state.failing_resizes:
        fault, ends = call.state.failing_resizes.pop(0)
        shown = {"code": 500, "created": zulu(call.now), "message": fault}
        # Nova keeps the fault and shows it with an ERROR only.
        return steps, {
            "vm_state": ends or server.vm_state,
            "task_state": None,
            "fault": shown,
            "failed": True,
        }
    server.old_flavor = {**server.flavor, "_was": server.vm_state}
    steps += [
        (0.6, {"task_state": "resize_migrated"}, []),
        (0.8, {"task_state": "resize_finish", "flavor": embedded(call.region.flavors[wanted])}, []),
    ]
    return steps, {**changes, "power_state": server.power_state}


def _unshelve_steps(call: Call, server: SimulatedServer, changes: Thing) -> tuple[list[Step], Thing]:
    image_id = server.shelved_image_id
    if image_id is not None and image_id not in call.region.images:
        words = f"Unshelve attempted but the image {image_id} cannot be found."
        shown = {"code": 404, "created": zulu(call.now), "message": words}
        # Nova leaves the task where it was.
        return [], {"vm_state": "error", "fault": shown, "failed": True}
    for attached in server.volumes:
        plan_attached(call.region, server, attached, call.now + call.state.clock.action_seconds * 0.5)
    return [(0.3, {"task_state": "spawning"}, [])], changes


def _shelve_steps(call: Call, server: SimulatedServer) -> list[Step]:
    """Into an image, and off the host; a volume needs no image."""
    from .nova_images import image_of, keep_disk_image  # noqa: PLC0415

    if server.is_volume_booted:
        return [(0.5, {"task_state": "shelving_offloading"}, [])]
    image = image_of(call, server, f"{server.name}-shelved", {})
    keep_disk_image(call, server, image)
    server.shelved_image_id = image["id"]
    return [
        (0.3, {"task_state": "shelving_image_uploading"}, []),
        (0.7, {"vm_state": "shelved", "task_state": "shelving_offloading", "power_state": 4}, []),
    ]


def begin_delete(call: Call, server: SimulatedServer) -> None:
    """Start the end of a server."""
    record(call, server, "delete")
    server.task_state = "deleting"
    server.odd_status = None
    server.updated = call.now
    server.text = None
    gone_at = call.now + call.state.clock.action_seconds
    deleted: Thing = {"vm_state": "deleted", "task_state": None, "power_state": 0}
    if call.state.habits.failing_deletions:
        # Seen on a real Nova whose Placement died: the record is hidden first, and the rest of the work fails.
        call.state.habits.failing_deletions -= 1
        fault = {"code": 500, "message": "ConnectFailure", "created": zulu(gone_at + 1)}
        in_error: Thing = {"vm_state": "error", "fault": fault}
        server.plan = [[gone_at, deleted, ["volumes free"]], [gone_at + 1, in_error, ["action failed"]]]
    else:
        server.plan = [[gone_at, deleted, ["gone"]]]
    call.state.dirty = True


def begin_soft_delete(call: Call, server: SimulatedServer) -> None:
    """Put a server away until it is reclaimed: switched off, with its volumes and ports. A second time changes nothing."""
    if server.vm_state == "soft-delete" or server.task_state in {"deleting", "soft-deleting"}:
        return
    record(call, server, "delete")
    server.task_state = "soft-deleting"
    server.odd_status = None
    server.updated = call.now
    server.text = None
    changes: Thing = {"vm_state": "soft-delete", "task_state": None, "power_state": 4}
    plan_server(server, [[call.now + call.state.clock.action_seconds, changes, []]])
    call.state.dirty = True
