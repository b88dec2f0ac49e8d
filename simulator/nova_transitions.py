"""Nova: the steps of an accepted action on a server."""

from __future__ import annotations

from dataclasses import dataclass

from .calls import Call
from .clock import format_zulu
from .nova_flavors import build_server_flavor
from .nova_history import record_action
from .nova_images import build_image, store_disk_image
from .server import SimulatedServer
from .state import Resource
from .transitions import advance_server, schedule_attachment, schedule_steps

# The time as a fraction of the duration, the changed fields, and the events.
Step = tuple[float, Resource, list[str]]
# The steps of an action, its last changes, and its last events.
Plan = tuple[list[Step], Resource, list[str]]


@dataclass(frozen=True, slots=True)
class Transition:
    """An action: Nova's name for it, the states that allow it, and the state it ends in."""

    name: str
    allowed: tuple[str, ...]
    task_state: str | None
    vm_state: str
    power_state: int
    # Task states that allow it; no task always does.
    allowed_tasks: tuple[str, ...] = ()

    def build_last_changes(self) -> Resource:
        """Return the fields that a server has when the action has ended."""
        return {
            "vm_state": self.vm_state,
            "task_state": None,
            "power_state": self.power_state,
            "fault": None,
        }


def begin_transition(call: Call, server: SimulatedServer, transition: Transition, plan: Plan | None) -> None:
    """Schedule the steps of an accepted action: those of `plan`, if it is one that has its own."""
    now, seconds = call.now, call.state.clock.action_seconds
    changes = transition.build_last_changes()
    record_action(call, server, transition.name)
    server.odd_status = None
    server.task_state = transition.task_state
    steps: list[Step] = []
    migration_events: list[str] = []
    if transition.name == "resize":
        steps, changes = _build_resize_steps(call, server, changes)
    elif transition.name in {"confirmResize", "revertResize"} and server.old_flavor:
        before = dict(server.old_flavor)
        was, host, migration_id = (before.pop(name, None) for name in ("_was", "_host", "_migration"))
        was = was or "active"
        changes.update({"vm_state": was, "power_state": 1 if was == "active" else 4, "old_flavor": None})
        if transition.name == "revertResize":
            changes.update({"flavor": before, "host": host or server.host})
        if migration_id is not None:
            ended = "reverted" if transition.name == "revertResize" else "confirmed"
            migration_events = [f"migration {migration_id} {ended}"]
    elif transition.name == "shelve":
        steps = _build_shelve_steps(call, server)
    elif transition.name == "unshelve":
        steps, changes = _build_unshelve_steps(call, server, changes)
    events = {"unshelve": ["launch", "unshelved"], "shelve": ["offloaded"]}.get(transition.name, [])
    if plan is not None:
        steps, changes, events = plan
    events = [*events, *migration_events]
    if changes.pop("failed", False):
        events = ["action failed"]
    schedule_steps(
        server,
        [
            *([now + seconds * part, fields, then] for part, fields, then in steps),
            [now + seconds, changes, events],
        ],
    )
    server.updated = now
    server.text = None
    call.state.dirty = True
    if seconds <= 0:
        advance_server(call.state, call.region, server, now)


def _build_resize_steps(
    call: Call, server: SimulatedServer, changes: Resource
) -> tuple[list[Step], Resource]:
    requested = call.request.json()["resize"]["flavorRef"]
    steps: list[Step] = [(0.3, {"task_state": "resize_migrating"}, [])]
    if call.state.failing_resizes:
        fault, final_fields = call.state.failing_resizes.pop(0)
        shown = {"code": 500, "created": format_zulu(call.now), "message": fault}
        # Nova stores the fault and shows it only in ERROR.
        return steps, {
            "vm_state": final_fields or server.vm_state,
            "task_state": None,
            "fault": shown,
            "failed": True,
        }
    server.old_flavor = {**server.flavor, "_was": server.vm_state}
    steps += [
        (0.6, {"task_state": "resize_migrated"}, []),
        (
            0.8,
            {"task_state": "resize_finish", "flavor": build_server_flavor(call.region.flavors[requested])},
            [],
        ),
    ]
    return steps, {**changes, "power_state": server.power_state}


def _build_unshelve_steps(
    call: Call, server: SimulatedServer, changes: Resource
) -> tuple[list[Step], Resource]:
    image_id = server.shelved_image_id
    if image_id is not None and image_id not in call.region.images:
        message = f"Unshelve attempted but the image {image_id} cannot be found."
        shown = {"code": 404, "created": format_zulu(call.now), "message": message}
        # Nova leaves the task state unchanged.
        return [], {"vm_state": "error", "fault": shown, "failed": True}
    for attached in server.volumes:
        schedule_attachment(call.region, server, attached, call.now + call.state.clock.action_seconds * 0.5)
    return [(0.3, {"task_state": "spawning"}, [])], changes


def _build_shelve_steps(call: Call, server: SimulatedServer) -> list[Step]:
    """Return the steps of a shelve: to an image, unless the server boots from a volume, and off the host."""
    if server.is_volume_booted:
        return [(0.5, {"task_state": "shelving_offloading"}, [])]
    image = build_image(call, server, f"{server.name}-shelved", {})
    store_disk_image(call, server, image)
    server.shelved_image_id = image["id"]
    return [
        (0.3, {"task_state": "shelving_image_uploading"}, []),
        (0.7, {"vm_state": "shelved", "task_state": "shelving_offloading", "power_state": 4}, []),
    ]


# Long enough that what is done meanwhile is done, however slow the machine is; tests move the clock on.
_FAILING_DELETION_SECONDS = 60


def begin_delete(call: Call, server: SimulatedServer) -> None:
    """Start the deletion of a server."""
    record_action(call, server, "delete")
    server.task_state = "deleting"
    server.odd_status = None
    server.updated = call.now
    server.text = None
    gone_at = call.now + call.state.clock.action_seconds
    deleted: Resource = {"vm_state": "deleted", "task_state": None, "power_state": 0}
    if call.state.quirks.failing_deletions:
        # Observed on a real Nova without Placement: the record is hidden first, then the rest of the deletion fails.
        call.state.quirks.failing_deletions -= 1
        failed_at = gone_at + _FAILING_DELETION_SECONDS
        fault = {"code": 500, "message": "ConnectFailure", "created": format_zulu(failed_at)}
        in_error: Resource = {"vm_state": "error", "fault": fault}
        server.plan = [[gone_at, deleted, ["volumes free"]], [failed_at, in_error, ["action failed"]]]
    else:
        server.plan = [[gone_at, deleted, ["gone"]]]
    call.state.dirty = True


def begin_soft_delete(call: Call, server: SimulatedServer) -> None:
    """Power a server off and keep it, its volumes and its ports until it is reclaimed. A second call changes nothing."""
    if server.vm_state == "soft-delete" or server.task_state in {"deleting", "soft-deleting"}:
        return
    record_action(call, server, "delete")
    server.task_state = "soft-deleting"
    server.odd_status = None
    server.updated = call.now
    server.text = None
    changes: Resource = {"vm_state": "soft-delete", "task_state": None, "power_state": 4}
    schedule_steps(server, [[call.now + call.state.clock.action_seconds, changes, []]])
    call.state.dirty = True
