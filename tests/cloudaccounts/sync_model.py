"""A model of syncs, computed from the contents of the cloud at each sync alone.

A row of the model has the last listed values of an object, the number of consecutive listings without it, and whether it
has expired; with every change that must be recorded.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from django.conf import settings

from cloudaccounts.models import CloudResource, ResourceChange, ResourceLink, SyncLog
from cloudaccounts.registry import find_syncer

from .resource_checks import REGION, get_stored_objects, list_visible_keys


def list_values(simulator, type_code):
    """Return the values by id that a complete listing shows now, by the names of changes."""
    objects = get_stored_objects(simulator, type_code)
    return {
        key: _build_values(type_code, key, objects[key]) for key in list_visible_keys(simulator, type_code)
    }


def _build_values(type_code, key, stored):
    if type_code == "zone":
        return {"name": key, "status": "available" if stored else "unavailable", "links": []}
    if type_code == "volume":
        links = [f"volume-snapshot {stored['snapshot_id']}"] if stored["snapshot_id"] else []
    else:
        links = [f"port-network {stored['network_id']}"]
        links += [f"port-subnet {fixed['subnet_id']}" for fixed in stored["fixed_ips"]]
        links += [f"port-security_group {group}" for group in stored["security_groups"]]
    return {"name": stored["name"], "status": stored["status"], "links": sorted(links)}


@dataclass
class Row:
    """The expected state of one object."""

    seen: dict
    missing: int = 0
    expired: bool = False
    changes: list[dict] = field(default_factory=list)

    def apply_listing(self, seen):
        """Apply a listing that shows the object; return whether that is a change."""
        change = {name: [self.seen[name], now] for name, now in seen.items() if self.seen[name] != now}
        if self.expired:
            change["expired"] = [True, False]
        if change:
            self.changes.append(change)
        self.seen, self.missing, self.expired = seen, 0, False
        return bool(change)


class Model:
    """The expected rows of some types."""

    def __init__(self, simulator, types):
        self.simulator = simulator
        self.rows = {type_code: {} for type_code in types}

    def apply_complete_listing(self, log, *, accepted):
        """Apply a complete listing, and check the log's counts."""
        rows, seen = self.rows[log.type], list_values(self.simulator, log.type)
        after = find_syncer("openstack", log.type).expires_after
        counts = dict.fromkeys(("created", "updated", "unchanged", "expired", "missing", "held_back"), 0)
        for key, now in seen.items():
            if key not in rows:
                rows[key] = Row(now)
                counts["created"] += 1
            else:
                counts["updated" if rows[key].apply_listing(now) else "unchanged"] += 1
        for row in self.unseen(log.type, seen):
            row.missing += 1
        there = [row for row in rows.values() if not row.expired]
        due = [row for row in there if row.missing >= after]
        missing_rows = sum(row.missing > 0 for row in there)
        if len(due) > 1 and len(due) > len(there) * settings.RESOURCE_MASS_LOSS_SHARE and not accepted:
            counts["held_back"], counts["missing"] = len(due), missing_rows
        else:
            counts["expired"], counts["missing"] = len(due), missing_rows - len(due)
            for row in due:
                row.expired = True
                row.changes.append({"expired": [False, True]})
        assert log.state == ("failed" if counts["held_back"] else "success"), log.message
        log_counts = {name: getattr(log, name) for name in counts}
        assert log_counts == counts, (log_counts, counts)
        assert log.created + log.updated + log.unchanged == len(seen)

    def unseen(self, type_code, seen):
        return [row for key, row in self.rows[type_code].items() if key not in seen and not row.expired]

    def apply_incomplete_listing(self, log):
        """Apply an incomplete listing: only rows that were listed change. Check the log's counts."""
        rows, seen = self.rows[log.type], list_values(self.simulator, log.type)
        found = {
            row.cloud_id: row
            for row in CloudResource.objects.filter(type=log.type, last_seen_at__gte=log.started_at)
        }
        assert found.keys() <= seen.keys(), "something was seen that is not there"
        counts = {"created": 0, "updated": 0, "unchanged": 0, "expired": 0, "missing": 0, "held_back": 0}
        for key in found:
            if key not in rows:
                rows[key] = Row(seen[key])
                counts["created"] += 1
            else:
                counts["updated" if rows[key].apply_listing(seen[key]) else "unchanged"] += 1
        log_counts = {name: getattr(log, name) for name in counts}
        assert log_counts == counts, (log_counts, counts)

    def check(self):
        """Check that rows, changes and links equal the model's, without duplicates."""
        changes, links = {}, {}
        names = {"name", "status", "links", "expired"}
        for resource_id, fields in ResourceChange.objects.order_by("id").values_list("resource_id", "fields"):
            changes.setdefault(resource_id, []).append({k: v for k, v in fields.items() if k in names})
        for resource_id, kind, target in ResourceLink.objects.values_list(
            "source_id", "kind", "target_cloud_id"
        ):
            links.setdefault(resource_id, []).append(f"{kind} {target}")
        found = {type_code: {} for type_code in self.rows}
        for row in CloudResource.objects.filter(region=REGION):
            assert row.cloud_id not in found[row.type]
            seen = {"name": row.name, "status": row.status, "links": sorted(links.get(row.pk, []))}
            found[row.type][row.cloud_id] = Row(
                seen, row.missing_count, row.expired_at is not None, changes.get(row.pk, [])
            )
        for type_code, rows in self.rows.items():
            assert found[type_code].keys() == rows.keys(), (found[type_code].keys(), rows.keys())
            for key, row in rows.items():
                assert found[type_code][key] == row, (type_code, key, found[type_code][key], row)
        assert not SyncLog.objects.running().exists()
