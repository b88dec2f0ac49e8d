"""The control API, below `/_control`, by which tests, benchmarks and the demo change the cloud from outside.

It needs no token: everybody who can connect to a simulator may change it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from . import keystone, seeding, standard_content
from .control_objects import change_resource, parse_kind
from .faults import Fault
from .http_messages import Request, Response, bad_request, not_found
from .nova_passwords import PASSWORD_FAULTS
from .state import KINDS, Resource, State, build_hosts
from .transitions import advance_images, advance_server, advance_servers, advance_volumes


def handle(state: State, request: Request, path: str) -> Response:
    """Answer a request. `path` begins with a slash. Raises `HttpError`."""
    parts = [part for part in path.split("/") if part]
    name = parts[0] if parts else ""
    method = request.method
    body: Any = None
    if request.body:
        body = [] if request.body.lstrip()[:1] == b"[" else request.json()
    if len(parts) == 2 and (method, name) == ("GET", "servers"):
        return _show_server(state, parts[1])
    if len(parts) == 2 and method in {"PATCH", "DELETE"} and (kind := parse_kind(name)) is not None:
        return change_resource(state, request, kind, parts[1])
    if method == "POST" and name in _POST_HANDLERS:
        return _POST_HANDLERS[name](state, body or {})
    if name == "clock":
        return _set_clock(state, body or {})
    if name in _REQUEST_HANDLERS:
        return _REQUEST_HANDLERS[name](state, request)
    if name == "untidy":
        return _set_race_behavior(state, body or {})
    if name == "tokens" and method == "DELETE":
        count = len(state.tokens)
        state.tokens.clear()
        return Response(200, {"revoked": count})
    if (method, name) == ("GET", "objects"):
        return _list_objects(state)
    raise not_found(f"The control API has no {method} {path}")


def _set_clock(state: State, requested: Resource) -> Response:
    clock = state.clock
    for name in ("build_seconds", "action_seconds", "volume_seconds", "token_seconds"):
        if name in requested:
            setattr(clock, name, float(requested[name]))
    clock.offset += float(requested.get("advance_seconds", 0.0))
    return Response(
        200,
        {
            "build_seconds": clock.build_seconds,
            "action_seconds": clock.action_seconds,
            "volume_seconds": clock.volume_seconds,
            "token_seconds": clock.token_seconds,
            "now": clock.now(),
        },
    )


def _handle_faults(state: State, request: Request) -> Response:
    if request.method == "DELETE":
        state.faults.rules.clear()
    elif request.method == "POST":
        try:
            given = json.loads(request.body)
        except ValueError:
            raise bad_request("no JSON") from None
        rules = given if isinstance(given, list) else [given]
        state.faults.rules.extend([Fault.from_json(rule) for rule in rules])
    return Response(200, {"faults": [rule.as_json() for rule in state.faults.rules]})


def _set_race_behavior(state: State, requested: Resource) -> Response:
    races = state.race_behavior
    names = ("window_seconds", "duplicate_rate", "error_rate", "done_but_error_rate")
    if "enabled" in requested:
        races.enabled = bool(requested["enabled"])
    for name in names:
        if name in requested:
            setattr(races, name, float(requested[name]))
    return Response(200, {"enabled": races.enabled, **{name: getattr(races, name) for name in names}})


def _reset(state: State, requested: Resource) -> Response:
    standard_content.reset(
        state,
        seed=int(requested.get("seed") or 0),
        regions=requested.get("regions"),
        zones=requested.get("zones"),
    )
    _set_clock(state, requested)
    return Response(200, {"projects": {p["name"]: p["id"] for p in state.projects.values()}})


def _seed(state: State, requested: Resource) -> Response:
    return Response(200, seeding.seed(state, requested))


def _fail_builds(state: State, requested: Resource) -> Response:
    """Let the next server builds end in ERROR: `{"times"?, "fault"?}`."""
    fault = str(requested.get("fault") or "No valid host was found. There are not enough hosts available.")
    state.failing_builds.extend([fault] * int(requested.get("times", 1)))
    return Response(200, {"failing_builds": len(state.failing_builds)})


def _fail_resizes(state: State, requested: Resource) -> Response:
    """Let the next resizes end in ERROR, or with `"ends": "as before"` in the previous state: `{"times"?, "fault"?, "ends"?}`."""
    final_fields = str(requested.get("ends", "ERROR"))
    if final_fields not in {"ERROR", "as before"}:
        raise bad_request('ends must be "ERROR" or "as before"')
    fault = str(requested.get("fault") or "No valid host was found. No valid host found for resize")
    state.failing_resizes.extend(
        [(fault, "error" if final_fields == "ERROR" else None)] * int(requested.get("times", 1))
    )
    return Response(200, {"failing_resizes": len(state.failing_resizes)})


def _fail_migrations(state: State, requested: Resource) -> Response:
    """Let the next migrations and evacuations be accepted and fail: `{"times"?}`. The servers stay where they are."""
    state.failing_migrations.extend(["requested"] * int(requested.get("times", 1)))
    return Response(200, {"failing_migrations": len(state.failing_migrations)})


def _set_hosts(state: State, requested: Resource) -> Response:
    """Set the hosts of every region: `{"hosts": {name: is up}}`. Servers on a host that is left out stay on it."""
    hosts = requested.get("hosts") or {}
    for region in state.regions.values():
        region.hosts = build_hosts(str(name) for name in hosts)
        for name, is_up in hosts.items():
            region.hosts[str(name)]["up"] = bool(is_up)
    state.dirty = True
    return Response(200, {"hosts": hosts})


def _set_password_fault(state: State, requested: Resource) -> Response:
    """Let servers refuse passwords: `{"fault": "not_enabled" | "failed" | "unsupported" | ""}`; "" lets them take them again."""
    fault = str(requested.get("fault", ""))
    if fault not in {"", *PASSWORD_FAULTS}:
        raise bad_request(f"fault must be one of {', '.join(PASSWORD_FAULTS)}, or empty")
    state.password_fault = fault
    return Response(200, {"fault": fault})


def _show_server(state: State, server_id: str) -> Response:
    """Show everything that a server has, its user data and its last password included."""
    for region in state.regions.values():
        server = region.servers.get(server_id)
        if server is not None:
            advance_server(state, region, server, state.clock.now())
            return Response(200, {**server.to_json(), "status": server.status})
    raise not_found(f"no servers {server_id}")


def _fail_volumes(state: State, requested: Resource) -> Response:
    """Let the next operations of this kind fail: `{"work": "create" | "extend" | "snapshot", "times"?}`."""
    work = requested.get("work")
    if work not in {"create", "extend", "snapshot"}:
        raise bad_request('work must be "create", "extend" or "snapshot"')
    state.failing_volumes.extend([work] * int(requested.get("times", 1)))
    return Response(200, {"failing_volumes": state.failing_volumes})


def _set_soft_delete(state: State, requested: Resource) -> Response:
    """Let Nova keep deleted servers (reclaim_instance_interval): `{"enabled", "force"?}`; `force`: whether owners may force their deletion."""
    state.soft_delete = bool(requested.get("enabled", True))
    state.force_delete = bool(requested.get("force", True))
    return Response(200, {"soft_delete": state.soft_delete, "force_delete": state.force_delete})


def _set_zones(state: State, requested: Resource) -> Response:
    """Set the availability zones of every region: `{"zones": {name: is available}}`."""
    for region in state.regions.values():
        region.zones = {str(name): bool(is_up) for name, is_up in (requested.get("zones") or {}).items()}
    state.dirty = True
    return Response(200, {"zones": requested.get("zones")})


def _set_quotas(state: State, requested: Resource) -> Response:
    project = state.find_project(str(requested.get("project", "demo")))
    if project is None:
        raise not_found("no such project")
    limits = {name: int(value) for name, value in requested.items() if name not in {"project", "region"}}
    for region in state.regions.values():
        region.quotas.setdefault(project["id"], {}).update(limits)
    return Response(200, {"quotas": limits})


def _add_network(state: State, requested: Resource) -> Response:
    """Add an internal network that all projects share, to every region: `{"name", "cidr"}`, a range of 16 bits. It has no router."""
    project = state.find_project("demo")
    if project is None:
        raise not_found("no such project")
    for region in state.regions.values():
        standard_content.create_network(
            state, region, str(requested["name"]), project["id"], str(requested["cidr"]), external=False
        )
    state.dirty = True
    return Response(200, {"name": requested["name"]})


def _set_missing_services(state: State, requested: Resource) -> Response:
    """Leave services out of a region's catalog: `{"region", "without": [types]}`. An empty list brings all back.

    Existing tokens keep their catalog.
    """
    region = str(requested.get("region") or next(iter(state.regions)))
    if region not in state.regions:
        raise not_found("no such region")
    without = {keystone.get_official_type(str(service)) for service in requested.get("without") or ()}
    if unknown := without - {keystone.get_official_type(service) for service, _, _ in keystone.SERVICES}:
        raise bad_request(f"there is no service {', '.join(sorted(unknown))}")
    state.missing_services[region] = sorted(without)
    state.dirty = True
    return Response(200, {"region": region, "without": state.missing_services[region]})


_POST_HANDLERS: dict[str, Callable[[State, Resource], Response]] = {
    "reset": _reset,
    "seed": _seed,
    "failing_builds": _fail_builds,
    "failing_resizes": _fail_resizes,
    "failing_volumes": _fail_volumes,
    "failing_migrations": _fail_migrations,
    "hosts": _set_hosts,
    "passwords": _set_password_fault,
    "soft_delete": _set_soft_delete,
    "zones": _set_zones,
    "quotas": _set_quotas,
    "networks": _add_network,
    "services": _set_missing_services,
}


def _handle_requests(state: State, request: Request) -> Response:
    if request.method == "DELETE":
        state.log.clear()
        return Response(200, {"requests": []})
    since = int(dict(parse_qsl(request.query_text)).get("since", 0))
    found = [entry for entry in state.log if entry["number"] > since]
    actions: dict[str, dict[str, int]] = {}
    objects: dict[str, dict[str, dict[str, int]]] = {}
    for entry in found:
        if entry["action"]:
            outcome = "accepted" if entry["accepted"] else "refused"
            counts = actions.setdefault(entry["action"], {"accepted": 0, "refused": 0})
            counts[outcome] += 1
            if entry["object"]:
                object_counts = objects.setdefault(entry["object"], {}).setdefault(
                    entry["action"], {"accepted": 0, "refused": 0}
                )
                object_counts[outcome] += 1
    return Response(
        200,
        {
            "requests": found,
            "next": state.log_number,
            "counts": {
                "total": len(found),
                "by_method": dict(Counter(e["method"] for e in found)),
                "by_service": dict(Counter(e["service"] for e in found)),
                "by_status": {str(k): v for k, v in Counter(e["status"] for e in found).items()},
                "actions": actions,
                "objects": objects,
            },
        },
    )


def _handle_quirks(state: State, request: Request) -> Response:
    if request.method == "DELETE":
        state.quirks = type(state.quirks)()
    elif request.method == "POST":
        state.quirks.set(request.json())
    return Response(200, state.quirks.as_json())


# Handlers of several methods, which get the whole request.
_REQUEST_HANDLERS: dict[str, Callable[[State, Request], Response]] = {
    "faults": _handle_faults,
    "requests": _handle_requests,
    "habits": _handle_quirks,
}


def _list_objects(state: State) -> Response:
    found: Resource = {}
    now = state.clock.now()
    for region in state.regions.values():
        advance_servers(state, region, now)
        advance_volumes(state, region, now)
        advance_images(region, now)
        objects: Resource = {
            "servers": [
                {
                    "id": s.id,
                    "name": s.name,
                    "project_id": s.project_id,
                    "status": s.status,
                    "task_state": s.task_state,
                    "tags": s.tags,
                    "metadata": s.metadata,
                    "volumes": [v["id"] for v in s.volumes],
                }
                for s in region.servers.values()
                if not s.is_deleted
            ]
        }
        for kind in KINDS:
            if kind not in {"quotas", "flavors", "hosts"}:
                objects[kind] = [_summarize(resource) for resource in getattr(region, kind).values()]
        found[region.name] = objects
    first: Resource = next(iter(found.values()), {})
    # The objects of the first region are at the top level, too, because most simulated clouds have only one.
    return Response(
        200, {**first, "regions": found, "projects": {p["name"]: p["id"] for p in state.projects.values()}}
    )


def _summarize(resource: Resource) -> Resource:
    owner = (
        resource.get("os-vol-tenant-attr:tenant_id") or resource.get("project_id") or resource.get("owner")
    )
    names = (
        "id",
        "name",
        "status",
        "size",
        "metadata",
        "tags",
        "attachments",
        "device_id",
        "volume_id",
        "volume_type",
        "fingerprint",
        "port_id",
        "members",
        "user_id",
    )
    return {**{name: resource[name] for name in names if name in resource}, "project_id": owner}
