"""Cinder: limits and quotas."""

from __future__ import annotations

from .calls import Call
from .cinder_lookup import SNAPSHOT_OWNER, VOLUME_OWNER
from .http_messages import HttpError, Response, forbidden, unwrap
from .state import Resource
from .transitions import advance_volumes

_QUOTA_NAMES = (
    "volumes",
    "gigabytes",
    "snapshots",
    "per_volume_gigabytes",
    "backups",
    "backup_gigabytes",
    "groups",
)


def show_limits(call: Call) -> Response:
    """Show the limits and their usage."""
    region, project_id = call.region, call.token.project_id or ""
    used = _count_usage(call, project_id)
    absolute: Resource = {
        "maxTotalVolumes": call.state.get_quota_limit(region, project_id, "volumes"),
        "maxTotalSnapshots": call.state.get_quota_limit(region, project_id, "snapshots"),
        "maxTotalVolumeGigabytes": call.state.get_quota_limit(region, project_id, "gigabytes"),
        "totalVolumesUsed": used.get("volumes", 0), "totalGigabytesUsed": used.get("gigabytes", 0),
        "totalSnapshotsUsed": used.get("snapshots", 0),
    }  # fmt: skip
    return Response(200, {"limits": {"rate": [], "absolute": absolute}})


def show_quota(call: Call, project_id: str) -> Response:
    """Show a project's limits; with `?usage=true` also their usage."""
    if project_id != call.token.project_id and not call.token.is_admin:
        raise forbidden("Policy doesn't allow volume_extension:quotas:show to be performed.")
    limits = {
        name: call.state.get_quota_limit(call.region, project_id, name) for name in _list_quota_names(call)
    }
    if dict(call.query()).get("usage", "").lower() not in {"true", "1"}:
        return Response(200, {"quota_set": {"id": project_id, **limits}})
    advance_volumes(call.state, call.region, call.now)
    used = _count_usage(call, project_id)
    details = {
        name: {"limit": limit, "in_use": used.get(name, 0), "reserved": 0} for name, limit in limits.items()
    }
    return Response(200, {"quota_set": {**details, "id": project_id}})


def put_quota(call: Call, project_id: str) -> Response:
    """Set a project's limits. For administrators."""
    call.require_admin("volume_extension:quotas:update")
    requested = unwrap(call.request.json(), "quota_set")
    names = _list_quota_names(call)
    limits = call.region.quotas.setdefault(project_id, {})
    limits.update({name: int(value) for name, value in requested.items() if name in names})
    call.state.dirty = True
    return show_quota(call, project_id)


def check_volume_size(call: Call, size: int) -> None:
    """Raise `HttpError` 413 for a volume larger than the project's limit for one volume."""
    limit = call.state.get_quota_limit(call.region, call.token.project_id or "", "per_volume_gigabytes")
    if 0 <= limit < size:
        raise _build_over_limit_error(
            f"VolumeSizeExceedsLimit: Requested volume size {size}G is larger than maximum allowed limit {limit}G."
        )


def check_quota(call: Call, what: str, count: int, gigabytes: int, volume_type: str) -> None:
    """Raise `HttpError` 413 when `count` more volumes or snapshots of a type, or their gigabytes, exceed the quota."""
    region, project_id = call.region, call.token.project_id or ""
    if not region.quotas.get(project_id):
        return
    advance_volumes(call.state, region, call.now)
    used = _count_usage(call, project_id)
    for name in ("gigabytes", f"gigabytes_{volume_type}", what, f"{what}_{volume_type}"):
        more = gigabytes if name.startswith("gigabytes") else count
        limit = call.state.get_quota_limit(region, project_id, name)
        if not more or limit < 0 or used.get(name, 0) + more <= limit:
            continue
        if name.startswith("gigabytes"):
            raise _build_over_limit_error(
                f"VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed {name} quota. "
                f"Requested {gigabytes}G, quota is {limit}G and {used.get(name, 0)}G has been consumed."
            )
        if what == "snapshots":
            raise _build_over_limit_error(
                f"SnapshotLimitExceeded: Maximum number of snapshots allowed ({limit}) exceeded"
            )
        raise _build_over_limit_error(
            f"VolumeLimitExceeded: Maximum number of volumes allowed ({limit}) exceeded for quota '{name}'."
        )


def _build_over_limit_error(message: str) -> HttpError:
    body = {"overLimit": {"code": 413, "message": message, "retryAfter": "0"}}
    return HttpError(Response(413, body, {"Retry-After": "0"}))


def _list_quota_names(call: Call) -> list[str]:
    kinds = [str(kind["name"]) for kind in call.region.volume_types.values()]
    by_type = [f"{name}_{kind}" for kind in kinds for name in ("volumes", "gigabytes", "snapshots")]
    return [*_QUOTA_NAMES, *by_type]


def _count_usage(call: Call, project_id: str) -> dict[str, int]:
    """Return the usage by quota name. Snapshots count as gigabytes too, which is Cinder's default."""
    used: dict[str, int] = {}

    def count(name: str, size: int, kind: object) -> None:
        for what, amount in ((name, 1), ("gigabytes", size)):
            used[what] = used.get(what, 0) + amount
            used[f"{what}_{kind}"] = used.get(f"{what}_{kind}", 0) + amount

    for volume in call.region.volumes.values():
        if volume[VOLUME_OWNER] == project_id:
            count("volumes", volume["size"], volume["volume_type"])
    for snapshot in call.region.snapshots.values():
        if snapshot[SNAPSHOT_OWNER] == project_id:
            source = call.region.volumes.get(snapshot["volume_id"], {})
            count("snapshots", snapshot["size"], source.get("volume_type"))
    return used
