"""Nova: the actions that move a server to another host, for administrators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .calls import Call
from .clock import format_naive
from .host_selection import select_host
from .http_messages import Response, bad_request, conflict, not_found
from .nova_history import record_action
from .nova_lookup import find_server
from .nova_transitions import Transition
from .server import SimulatedServer
from .state import Resource
from .transitions import schedule_steps

ACTIONS = {
    "migrate": Transition("migrate", ("active", "stopped"), "resize_prep", "resized", 1),
    "os-migrateLive": Transition("live-migration", ("active", "paused"), "migrating", "active", 1),
    "evacuate": Transition("evacuate", ("active", "stopped", "error"), "rebuilding", "active", 1),
}
_RULES = {
    "migrate": "os_compute_api:os-migrate-server:migrate",
    "os-migrateLive": "os_compute_api:os-migrate-server:migrate_live",
    "evacuate": "os_compute_api:os-evacuate",
}
_KINDS = {"migrate": "migration", "os-migrateLive": "live-migration", "evacuate": "evacuation"}
# Nova's last status of a migration that succeeded, before it is confirmed.
# The statuses of a live migration that can be aborted; before microversion 2.65, of a running one alone.
_ABORTABLE = frozenset({"queued", "preparing", "running"})
_LAST_STATUS = {"migrate": "finished", "os-migrateLive": "completed", "evacuate": "done"}

Step = tuple[float, Resource, list[str]]


def check_request(call: Call, server: SimulatedServer, action: str, argument: Any) -> None:
    """Raise `HttpError` for what Nova refuses before it looks at the server's state."""
    call.require_admin(_RULES[action])
    host = _get_host(argument)
    if action == "evacuate":
        if host is not None and host not in call.region.hosts:
            raise not_found(f"Compute host {host} not found.")
        if server.host == host:
            raise bad_request("The target host can't be the same one.")


def check_host(call: Call, server: SimulatedServer, action: str, argument: Any) -> None:
    """Raise `HttpError` 400 for a host that Nova refuses when the server's state allows the action."""
    host = _get_host(argument)
    if action == "evacuate":
        if call.region.hosts.get(server.host or "", {}).get("up"):
            raise bad_request(f"Compute service of {server.host} is still in use.")
        return
    if host is not None and host not in call.region.hosts:
        raise bad_request(f"Compute host {host} could not be found.")
    if action == "migrate" and host is not None and host == server.host:
        raise bad_request("Cannot migrate to the host where the server exists.")


def build_steps(
    call: Call, server: SimulatedServer, action: str, argument: Any, changes: Resource
) -> tuple[list[Step], Resource, list[str]]:
    """Return the steps, the last changes and the last events. Without another host, the server is as it was before."""
    target = select_host(call.region, server, without=server.host, only=_get_host(argument))
    is_failing = bool(call.state.failing_migrations)
    if is_failing:
        call.state.failing_migrations.pop(0)
    migration = _record(call, server, action, target)
    before: Resource = {"vm_state": server.vm_state, "task_state": None, "power_state": server.power_state}
    if target is None or is_failing:
        return (
            [],
            {**before, "fault": server.fault},
            [f"migration {migration['uuid']} error", "action failed"],
        )
    done = f"migration {migration['uuid']} {_LAST_STATUS[action]}"
    if action == "migrate":
        server.old_flavor = {
            **server.flavor, "_was": server.vm_state, "_host": server.host, "_migration": migration["uuid"],
        }  # fmt: skip
        steps: list[Step] = [
            (0.3, {"task_state": "resize_migrating"}, []),
            (0.6, {"task_state": "resize_migrated", "host": target}, []),
            (0.8, {"task_state": "resize_finish"}, []),
        ]
        return steps, {**changes, "power_state": server.power_state}, [done]
    if action == "os-migrateLive":
        under_way: list[Step] = [
            (0.1, {}, [f"migration {migration['uuid']} preparing"]),
            (0.2, {}, [f"migration {migration['uuid']} running"]),
            (0.9, {}, [f"migration {migration['uuid']} post-migrating"]),
        ]
        return under_way, {**before, "host": target}, [done]
    was = "stopped" if server.vm_state == "stopped" else "active"
    last = {"vm_state": was, "power_state": 4 if was == "stopped" else 1}
    return (
        [(0.4, {"task_state": "rebuild_spawning", "host": target}, [])],
        {**changes, **last},
        ["launch", done],
    )


def abort_live_migration(call: Call, server_id: str, number: str) -> Response:
    """Abort a live migration under way: the server stays on its host."""
    call.require_admin("os_compute_api:servers:migrations:delete")
    server = find_server(call, server_id)
    migrations = call.region.migrations.values()
    migration = next(
        (one for one in migrations if str(one["id"]) == number and one["instance_uuid"] == server.id), None
    )
    if server.task_state != "migrating":
        raise conflict(
            f"Cannot 'abort live migration' instance {server.id} while it is in task_state {server.task_state}"
        )
    if migration is None:
        raise not_found(f"Migration {number} not found for instance {server.id}")
    if migration["status"] not in _ABORTABLE or migration["migration_type"] != "live-migration":
        raise bad_request(
            f"Migration {number} state of instance {server.id} is {migration['status']}. "
            "Cannot abort live migration while the migration is in this state."
        )
    record_action(call, server, "live_migration_cancel")
    end = call.now + call.state.clock.action_seconds / 10
    fields = {"vm_state": server.vm_state, "task_state": None}
    schedule_steps(server, [[end, fields, [f"migration {migration['uuid']} cancelled"]]])
    server.updated, server.text, call.state.dirty = call.now, None, True
    return Response(202)


def _record(call: Call, server: SimulatedServer, action: str, target: str | None) -> Resource:
    stamp = format_naive(call.now)
    migration: Resource = {
        "id": len(call.region.migrations) + 1, "uuid": call.state.new_id(), "instance_uuid": server.id,
        "migration_type": _KINDS[action], "status": "accepted", "source_compute": server.host,
        "source_node": server.host, "dest_compute": target, "dest_node": target, "dest_host": None,
        "created_at": stamp, "updated_at": stamp, "project_id": server.project_id,
    }  # fmt: skip
    call.region.migrations[migration["uuid"]] = migration
    return migration


def _get_host(argument: Any) -> str | None:
    host = argument.get("host") if isinstance(argument, dict) else None
    return None if host is None else str(host)


TABLE: list[tuple[str, str, Callable[..., Response]]] = [
    ("DELETE", "/servers/<server_id>/migrations/<number>", abort_live_migration),
]
