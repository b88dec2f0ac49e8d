"""The control API, below `/_control`: what tests, benchmarks and the demo do to the cloud from outside.

It asks for no token: whoever reaches a simulator may do anything to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from . import keystone, seeding, standard_content
from .control_changes import change, kind_named
from .exchange import Answer, Request, bad_request, not_found
from .faults import Fault
from .moves import settle_images, settle_servers, settle_volumes
from .state import KINDS, State, Thing


def handle(state: State, request: Request, path: str) -> Answer:
    """Answer a request. `path` begins with a slash. Raises `Refused`."""
    parts = [part for part in path.split("/") if part]
    name = parts[0] if parts else ""
    method = request.method
    body: Any = None
    if request.body:
        body = [] if request.body.lstrip()[:1] == b"[" else request.json()
    if len(parts) == 2 and method in {"PATCH", "DELETE"} and (kind := kind_named(name)) is not None:
        return change(state, request, kind, parts[1])
    if method == "POST" and name in _POSTED:
        return _POSTED[name](state, body or {})
    if name == "clock":
        return _clock(state, body or {})
    if name in _ASKED:
        return _ASKED[name](state, request)
    if name == "untidy":
        return _untidy(state, body or {})
    if name == "tokens" and method == "DELETE":
        count = len(state.tokens)
        state.tokens.clear()
        return Answer(200, {"revoked": count})
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


def _failing_volumes(state: State, wanted: Thing) -> Answer:
    """`{"work", "times"?}`: the next of this work ("create", "extend", "snapshot") ends in an error."""
    work = wanted.get("work")
    if work not in {"create", "extend", "snapshot"}:
        raise bad_request('work must be "create", "extend" or "snapshot"')
    state.failing_volumes.extend([work] * int(wanted.get("times", 1)))
    return Answer(200, {"failing_volumes": state.failing_volumes})


def _soft_delete(state: State, wanted: Thing) -> Answer:
    """`{"enabled", "force"?}`: Nova keeps deleted servers (reclaim_instance_interval); whether owners may end them for good."""
    state.soft_delete = bool(wanted.get("enabled", True))
    state.force_delete = bool(wanted.get("force", True))
    return Answer(200, {"soft_delete": state.soft_delete, "force_delete": state.force_delete})


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


def _services(state: State, wanted: Thing) -> Answer:
    """`{"region", "without": [types]}`: the catalog leaves these services out of a region. An empty list brings all back.

    A token keeps the catalog that it came with.
    """
    region = str(wanted.get("region") or next(iter(state.regions)))
    if region not in state.regions:
        raise not_found("no such region")
    without = {keystone.official_type(str(one)) for one in wanted.get("without") or ()}
    if unknown := without - {keystone.official_type(service) for service, _, _ in keystone.SERVICES}:
        raise bad_request(f"there is no service {', '.join(sorted(unknown))}")
    state.missing_services[region] = sorted(without)
    state.dirty = True
    return Answer(200, {"region": region, "without": state.missing_services[region]})


_POSTED: dict[str, Callable[[State, Thing], Answer]] = {
    "reset": _reset,
    "seed": _seed,
    "failing_builds": _failing_builds,
    "failing_resizes": _failing_resizes,
    "failing_volumes": _failing_volumes,
    "soft_delete": _soft_delete,
    "zones": _zones,
    "quotas": _quotas,
    "services": _services,
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


def _habits(state: State, request: Request) -> Answer:
    if request.method == "DELETE":
        state.habits = type(state.habits)()
    elif request.method == "POST":
        state.habits.set(request.json())
    return Answer(200, state.habits.as_json())


# These look at the request themselves.
_ASKED: dict[str, Callable[[State, Request], Answer]] = {
    "faults": _faults,
    "requests": _requests,
    "habits": _habits,
}


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
