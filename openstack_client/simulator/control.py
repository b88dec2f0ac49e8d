"""The control API, below `/_control`: what tests, benchmarks and the demo do to the cloud from outside.

It asks for no token: whoever reaches a simulator may do anything to it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from . import seeding, standard_content
from .clock import zulu
from .exchange import Answer, Request, bad_request, not_found
from .faults import Fault
from .moves import settle_images, settle_servers, settle_volumes
from .server import POWER_OF, VM_STATE_OF
from .state import KINDS, Region, State, Thing


def handle(state: State, request: Request, path: str) -> Answer:
    """Answer a request. `path` begins with a slash. Raises `Refused`."""
    parts = [part for part in path.split("/") if part]
    name = parts[0] if parts else ""
    method = request.method
    body: Any = None
    if request.body:
        body = [] if request.body.lstrip()[:1] == b"[" else request.json()
    if len(parts) == 2 and name in {"servers", "volumes", "snapshots", "images"}:
        return _change(state, request, name, parts[1])
    if method == "POST" and name in _POSTED:
        return _POSTED[name](state, body or {})
    if name == "clock":
        return _clock(state, body or {})
    if name == "faults":
        return _faults(state, request)
    if name == "untidy":
        return _untidy(state, body or {})
    if name == "tokens" and method == "DELETE":
        count = len(state.tokens)
        state.tokens.clear()
        return Answer(200, {"revoked": count})
    if name == "requests":
        return _requests(state, request)
    if (method, name) == ("GET", "objects"):
        return _objects(state)
    raise not_found(f"The control API has no {method} {path}")


def _clock(state: State, wanted: Thing) -> Answer:
    clock = state.clock
    for name in ("build_seconds", "action_seconds", "volume_seconds", "token_seconds"):
        if name in wanted:
            setattr(clock, name, float(wanted[name]))
    clock.offset += float(wanted.get("advance_seconds", 0.0))
    return Answer(
        200,
        {
            "build_seconds": clock.build_seconds,
            "action_seconds": clock.action_seconds,
            "volume_seconds": clock.volume_seconds,
            "token_seconds": clock.token_seconds,
            "now": clock.now(),
        },
    )


def _faults(state: State, request: Request) -> Answer:
    if request.method == "DELETE":
        state.faults.rules.clear()
    elif request.method == "POST":
        import json  # noqa: PLC0415

        try:
            given = json.loads(request.body)
        except ValueError:
            raise bad_request("no JSON") from None
        rules = given if isinstance(given, list) else [given]
        state.faults.rules.extend([Fault.from_json(rule) for rule in rules])
    return Answer(200, {"faults": [rule.as_json() for rule in state.faults.rules]})


def _untidy(state: State, wanted: Thing) -> Answer:
    untidy = state.untidiness
    names = ("window_seconds", "duplicate_rate", "error_rate", "done_but_error_rate")
    if "enabled" in wanted:
        untidy.enabled = bool(wanted["enabled"])
    for name in names:
        if name in wanted:
            setattr(untidy, name, float(wanted[name]))
    return Answer(200, {"enabled": untidy.enabled, **{name: getattr(untidy, name) for name in names}})


def _reset(state: State, wanted: Thing) -> Answer:
    standard_content.reset(
        state, seed=int(wanted.get("seed") or 0), regions=wanted.get("regions"), zones=wanted.get("zones")
    )
    return Answer(200, {"projects": {p["name"]: p["id"] for p in state.projects.values()}})


def _seed(state: State, wanted: Thing) -> Answer:
    return Answer(200, seeding.seed(state, wanted))


def _failing_builds(state: State, wanted: Thing) -> Answer:
    """`{"times"?, "fault"?}`: the next servers end in ERROR."""
    fault = str(wanted.get("fault") or "No valid host was found. There are not enough hosts available.")
    state.failing_builds.extend([fault] * int(wanted.get("times", 1)))
    return Answer(200, {"failing_builds": len(state.failing_builds)})


def _failing_resizes(state: State, wanted: Thing) -> Answer:
    """`{"times"?, "fault"?, "ends"?}`: the next resizes end in ERROR, or with `"ends": "as before"` where they began."""
    ends = str(wanted.get("ends", "ERROR"))
    if ends not in {"ERROR", "as before"}:
        raise bad_request('ends must be "ERROR" or "as before"')
    fault = str(wanted.get("fault") or "No valid host was found. No valid host found for resize")
    state.failing_resizes.extend(
        [(fault, "error" if ends == "ERROR" else None)] * int(wanted.get("times", 1))
    )
    return Answer(200, {"failing_resizes": len(state.failing_resizes)})


def _zones(state: State, wanted: Thing) -> Answer:
    """`{"zones": {name: whether it is available}}`, in every region."""
    for region in state.regions.values():
        region.zones = {str(name): bool(is_up) for name, is_up in (wanted.get("zones") or {}).items()}
    state.dirty = True
    return Answer(200, {"zones": wanted.get("zones")})


def _quotas(state: State, wanted: Thing) -> Answer:
    project = state.project_named(str(wanted.get("project", "demo")))
    if project is None:
        raise not_found("no such project")
    limits = {name: int(value) for name, value in wanted.items() if name not in {"project", "region"}}
    for region in state.regions.values():
        region.quotas.setdefault(project["id"], {}).update(limits)
    return Answer(200, {"quotas": limits})


_POSTED: dict[str, Callable[[State, Thing], Answer]] = {
    "reset": _reset,
    "seed": _seed,
    "failing_builds": _failing_builds,
    "failing_resizes": _failing_resizes,
    "zones": _zones,
    "quotas": _quotas,
}


def _requests(state: State, request: Request) -> Answer:
    if request.method == "DELETE":
        state.log.clear()
        return Answer(200, {"requests": []})
    since = int(dict(parse_qsl(request.query_text)).get("since", 0))
    found = [entry for entry in state.log if entry["number"] > since]
    actions: dict[str, dict[str, int]] = {}
    objects: dict[str, dict[str, dict[str, int]]] = {}
    for entry in found:
        if entry["action"]:
            word = "accepted" if entry["accepted"] else "refused"
            counts = actions.setdefault(entry["action"], {"accepted": 0, "refused": 0})
            counts[word] += 1
            if entry["object"]:
                of = objects.setdefault(entry["object"], {}).setdefault(
                    entry["action"], {"accepted": 0, "refused": 0}
                )
                of[word] += 1
    return Answer(
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


def _objects(state: State) -> Answer:
    found: Thing = {}
    now = state.clock.now()
    for region in state.regions.values():
        settle_servers(state, region, now)
        settle_volumes(state, region, now)
        settle_images(region, now)
        mine: Thing = {
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
            if kind not in {"quotas", "keypairs", "flavors"}:
                mine[kind] = [_brief(thing) for thing in getattr(region, kind).values()]
        found[region.name] = mine
    first: Thing = next(iter(found.values()), {})
    # The first region's also without its name, as most clouds here have only one.
    return Answer(
        200, {**first, "regions": found, "projects": {p["name"]: p["id"] for p in state.projects.values()}}
    )


def _brief(thing: Thing) -> Thing:
    owner = thing.get("os-vol-tenant-attr:tenant_id") or thing.get("project_id") or thing.get("owner")
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
    )
    return {**{name: thing[name] for name in names if name in thing}, "project_id": owner}


def _region_of(state: State, kind: str, thing_id: str) -> Region:
    for region in state.regions.values():
        if thing_id in getattr(region, kind):
            return region
    raise not_found(f"no {kind} {thing_id}")


def _change(state: State, request: Request, kind: str, thing_id: str) -> Answer:
    region = _region_of(state, kind, thing_id)
    now = time.time() + state.clock.offset
    state.dirty = True
    if kind in {"snapshots", "images"}:
        return _change_plain(getattr(region, kind), request, thing_id)
    change = _change_volume if kind == "volumes" else _change_server
    return change(state, region, request, thing_id, now)


def _change_plain(things: dict[str, Thing], request: Request, thing_id: str) -> Answer:
    thing = things[thing_id]
    if request.method == "DELETE":
        del things[thing_id]
        return Answer(200, {})
    thing.update(request.json())
    # What was to become of it by itself would undo the change.
    thing.pop("_plan", None)
    return Answer(200, thing)


def _change_volume(state: State, region: Region, request: Request, thing_id: str, now: float) -> Answer:
    settle_volumes(state, region, now)
    if request.method == "DELETE":
        region.volumes.pop(thing_id, None)
        for server in region.servers.values():
            if any(v["id"] == thing_id for v in server.volumes):
                server.volumes = [v for v in server.volumes if v["id"] != thing_id]
                server.text = None
        return Answer(200, {})
    volume = region.volumes[thing_id]
    volume.update(request.json())
    volume.pop("_plan", None)
    return Answer(200, volume)


def _change_server(state: State, region: Region, request: Request, thing_id: str, now: float) -> Answer:
    server = region.servers[thing_id]
    if request.method == "DELETE":
        server.odd_status = None
        server.plan = [[now, {"vm_state": "deleted", "task_state": None, "power_state": 0}, ["gone"]]]
        settle_servers(state, region, now)
        return Answer(200, {})
    wanted = request.json()
    if "status" in wanted:
        word = str(wanted["status"])
        server.plan, server.task_state = [], None
        # A word that Nova does not have is shown as it is: clients must survive it.
        server.odd_status = None if word in VM_STATE_OF else word
        server.vm_state = VM_STATE_OF.get(word, server.vm_state)
        server.power_state = POWER_OF.get(server.vm_state, 0)
        if word == "ACTIVE" and server.launched is None:
            server.plan = [[now, {}, ["launch", "addresses"]]]
    if "fault" in wanted:
        fault = wanted["fault"]
        server.fault = None if fault is None else {"code": 500, "created": zulu(now), "message": str(fault)}
    for name in ("name", "tags", "metadata", "addresses", "task_state", "power_state", "description"):
        if name in wanted:
            setattr(server, name, wanted[name])
    server.updated = now
    server.text = None
    return Answer(200, {"id": server.id, "status": server.status, "name": server.name})
