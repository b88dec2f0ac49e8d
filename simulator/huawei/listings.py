"""The listings of the simulated Huawei Cloud: where each kind is listed, how it is paged, and which permission it needs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..http_messages import HttpError, Response


@dataclass(frozen=True, slots=True)
class ListedKind:
    """A kind of objects: the path of its listing, the member of the answer, and its paging (marker, page_info, offset, or "")."""

    kind: str
    path: str
    member: str
    action: str
    paging: str = ""
    most: int = 1000
    id_member: str = "id"
    total: str = ""


KINDS = (
    ListedKind(
        "zone",
        "/v2.1/{project}/os-availability-zone",
        "availabilityZoneInfo",
        "ecs:availabilityZones:list",
        id_member="zoneName",
    ),
    ListedKind(
        "keypair", "/v2.1/{project}/os-keypairs", "keypairs", "ecs:serverKeypairs:list", id_member="name"
    ),
    ListedKind(
        "server",
        "/v1/{project}/cloudservers/detail",
        "servers",
        "ecs:cloudServers:list",
        "marker",
        total="count",
    ),
    ListedKind("image", "/v2/cloudimages", "images", "ims:images:list", "marker", 500),
    ListedKind(
        "volume",
        "/v2/{project}/cloudvolumes/detail",
        "volumes",
        "evs:volumes:list",
        "marker",
        total="count",
    ),
    ListedKind(
        "snapshot",
        "/v2/{project}/cloudsnapshots/detail",
        "snapshots",
        "evs:snapshots:list",
        "offset",
        total="count",
    ),
    ListedKind("network", "/v3/{project}/vpc/vpcs", "vpcs", "vpc:vpcs:list", "page_info", 2000),
    ListedKind("subnet", "/v1/{project}/subnets", "subnets", "vpc:subnets:get", "marker", 2000),
    ListedKind("port", "/v1/{project}/ports", "ports", "vpc:ports:get", "marker", 2000),
    ListedKind(
        "security_group",
        "/v3/{project}/vpc/security-groups",
        "security_groups",
        "vpc:securityGroups:get",
        "page_info",
        2000,
    ),
    ListedKind(
        "rule",
        "/v3/{project}/vpc/security-group-rules",
        "security_group_rules",
        "vpc:securityGroupRules:get",
        "page_info",
        2000,
    ),
    ListedKind(
        "floating_ip",
        "/v3/{project}/eip/publicips",
        "publicips",
        "vpc:publicIps:list",
        "page_info",
        2000,
    ),
    ListedKind(
        "load_balancer",
        "/v3/{project}/elb/loadbalancers",
        "loadbalancers",
        "elb:loadbalancers:list",
        "page_info",
        2000,
    ),
    ListedKind(
        "cache",
        "/v2/{project}/instances",
        "instances",
        "dcs:instance:list",
        "offset",
        id_member="instance_id",
        total="instance_num",
    ),
    ListedKind(
        "database",
        "/v3/{project}/instances",
        "instances",
        "rds:instance:list",
        "offset",
        100,
        total="total_count",
    ),
)
_PATTERNS = [
    (re.compile(re.escape(kind.path).replace(r"\{project\}", "(?P<project>[^/]+)")), kind) for kind in KINDS
]


def find_kind(path: str) -> tuple[ListedKind, str] | None:
    """Return the kind that is listed at a path, and the project in it, or ""; None for another path."""
    for pattern, kind in _PATTERNS:
        if found := pattern.fullmatch(path):
            return kind, found.groupdict().get("project") or ""
    return None


def list_page(
    kind: ListedKind, stored: Mapping[str, dict[str, Any]], query: Mapping[str, list[str]], cap: int | None
) -> dict[str, Any]:
    """Return the answer with a page. Raises `HttpError` for a marker that is gone, and for a limit or an offset that is none."""
    objects = _filter(kind, [stored[cloud_id] for cloud_id in sorted(stored)], query)
    if not kind.paging:
        shown = [{"keypair": one} for one in objects] if kind.kind == "keypair" else objects
        return {kind.member: shown}
    limit = min(_read_number(query, "limit", kind.most), kind.most, cap or kind.most)
    start = _read_number(query, "offset", 0) if kind.paging == "offset" else _find_start(kind, objects, query)
    page = objects[start : start + limit]
    answer: dict[str, Any] = {kind.member: page}
    if kind.total:
        answer[kind.total] = len(objects)
    if kind.paging == "page_info":
        answer["request_id"] = "74953b2b0f1d4dc9a9a2f4e1a1b4c1c4"
        answer["page_info"] = {"current_count": len(page)}
        if start + limit < len(objects):
            answer["page_info"]["next_marker"] = page[-1]["id"]
    return answer


def _filter(
    kind: ListedKind, objects: list[dict[str, Any]], query: Mapping[str, list[str]]
) -> list[dict[str, Any]]:
    if kind.kind == "image" and "__imagetype" in query:
        return [one for one in objects if one.get("__imagetype") == query["__imagetype"][0]]
    if kind.kind == "floating_ip":
        # Tags are shown to those alone who name the members that they want.
        fields = query.get("fields")
        return [
            {name: one[name] for name in one if (name in fields if fields else name != "tags")}
            for one in objects
        ]
    return objects


def _find_start(kind: ListedKind, objects: list[dict[str, Any]], query: Mapping[str, list[str]]) -> int:
    marker = query.get("marker", [""])[0]
    if not marker:
        return 0
    for number, one in enumerate(objects):
        if one.get(kind.id_member) == marker:
            return number + 1
    message = f"marker [{marker}] not found"
    raise HttpError(Response(400, {"badRequest": {"message": message, "code": 400}}))


def _read_number(query: Mapping[str, list[str]], name: str, default: int) -> int:
    text = query.get(name, [str(default)])[0]
    if not text.isdigit():
        raise HttpError(Response(400, {"badRequest": {"message": f"Invalid {name} '{text}'.", "code": 400}}))
    return int(text)
