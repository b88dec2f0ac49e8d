"""Cinder: limits and quotas."""

from __future__ import annotations

from .cinder_things import SNAPSHOT_OWNER, VOLUME_OWNER
from .exchange import Answer, Call, Refused, forbidden, inner
from .moves import settle_volumes
from .state import Thing

_PLAIN = (
    "volumes",
    "gigabytes",
    "snapshots",
    "per_volume_gigabytes",
    "backups",
    "backup_gigabytes",
    "groups",
)


def show_limits(call: Call) -> Answer:
    """Limits and what is used of them."""
    region, project_id = call.region, call.token.project_id or ""
    used = _used(call, project_id)
    absolute: Thing = {
        "maxTotalVolumes": call.state.quota(region, project_id, "volumes"),
        "maxTotalSnapshots": call.state.quota(region, project_id, "snapshots"),
        "maxTotalVolumeGigabytes": call.state.quota(region, project_id, "gigabytes"),
        "totalVolumesUsed": used.get("volumes", 0), "totalGigabytesUsed": used.get("gigabytes", 0),
        "totalSnapshotsUsed": used.get("snapshots", 0),
    }  # fmt: skip
    return Answer(200, {"limits": {"rate": [], "absolute": absolute}})


def show_quota(call: Call, project_id: str) -> Answer:
    """The limits; with `?usage=true` also what is in use of them."""
    if project_id != call.token.project_id and not call.token.is_admin:
        raise forbidden("Policy doesn't allow volume_extension:quotas:show to be performed.")
    limits = {name: call.state.quota(call.region, project_id, name) for name in _names(call)}
    if dict(call.query()).get("usage", "").lower() not in {"true", "1"}:
        return Answer(200, {"quota_set": {"id": project_id, **limits}})
    settle_volumes(call.state, call.region, call.now)
    used = _used(call, project_id)
    details = {
        name: {"limit": limit, "in_use": used.get(name, 0), "reserved": 0} for name, limit in limits.items()
    }
    return Answer(200, {"quota_set": {**details, "id": project_id}})


def put_quota(call: Call, project_id: str) -> Answer:
    """By an administrator."""
    call.need_admin("volume_extension:quotas:update")
    wanted = inner(call.request.json(), "quota_set")
    names = _names(call)
    limits = call.region.quotas.setdefault(project_id, {})
    limits.update({name: int(value) for name, value in wanted.items() if name in names})
    call.state.dirty = True
    return show_quota(call, project_id)


def check_volume_size(call: Call, size: int) -> None:
    """Refuse with 413 a volume that is larger than any may be."""
    limit = call.state.quota(call.region, call.token.project_id or "", "per_volume_gigabytes")
    if 0 <= limit < size:
        raise _over(
            f"VolumeSizeExceedsLimit: Requested volume size {size}G is larger than maximum allowed limit {limit}G."
        )


def check_quota(call: Call, what: str, count: int, gigabytes: int, volume_type: str) -> None:
    """Refuse with 413 so many more "volumes" or "snapshots" of a type, or so many more gigabytes in all of them."""
    region, project_id = call.region, call.token.project_id or ""
    if not region.quotas.get(project_id):
        return
    settle_volumes(call.state, region, call.now)
    used = _used(call, project_id)
    for name in ("gigabytes", f"gigabytes_{volume_type}", what, f"{what}_{volume_type}"):
        more = gigabytes if name.startswith("gigabytes") else count
        limit = call.state.quota(region, project_id, name)
        if not more or limit < 0 or used.get(name, 0) + more <= limit:
            continue
        if name.startswith("gigabytes"):
            raise _over(
                f"VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed {name} quota. "
                f"Requested {gigabytes}G, quota is {limit}G and {used.get(name, 0)}G has been consumed."
            )
        if what == "snapshots":
            raise _over(f"SnapshotLimitExceeded: Maximum number of snapshots allowed ({limit}) exceeded")
        raise _over(
            f"VolumeLimitExceeded: Maximum number of volumes allowed ({limit}) exceeded for quota '{name}'."
        )


def _over(message: str) -> Refused:
    body = {"overLimit": {"code": 413, "message": message, "retryAfter": "0"}}
    return Refused(Answer(413, body, {"Retry-After": "0"}))


def _names(call: Call) -> list[str]:
    kinds = [str(kind["name"]) for kind in call.region.volume_types.values()]
    by_type = [f"{name}_{kind}" for kind in kinds for name in ("volumes", "gigabytes", "snapshots")]
    return [*_PLAIN, *by_type]


def _used(call: Call, project_id: str) -> dict[str, int]:
    """By the quota's name. Snapshots count as gigabytes too, unless the cloud's operator says otherwise."""
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
