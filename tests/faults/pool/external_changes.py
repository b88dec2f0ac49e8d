"""Changes that others than the portal make to its volumes, quotas and accounts, chosen by a seeded generator."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

import requests

from cloudaccounts.models import CloudAccount
from tests.simulated import SimulatedCloud
from volumepool.models import SpareVolume, Volume, VolumePool

from .invariants import ExternallyChanged

GOLDEN = "golden"
# How many seconds a shortage lasts. Not counted in steps that end, because none ends while the account is off.
SHORTAGE_SECONDS = {"quota shrunk": 4.0, "account paused": 2.0}


def change_object(cloud: SimulatedCloud, method: str, path: str, body: Any = None) -> bool:
    """Change an object through the control API, and return whether it existed.

    The simulator closes the connection when the object ends while the request is handled.
    """
    try:
        return bool(cloud.session.request(method, f"{cloud.url}/_control/{path}", json=body, timeout=60).ok)
    except requests.ConnectionError:
        return False


@dataclass
class ExternalChanger:
    """A user of the cloud who changes the portal's volumes, and an operator who takes away quota and account."""

    cloud: SimulatedCloud
    account: CloudAccount
    dice: Random
    changed: ExternallyChanged = field(default_factory=ExternallyChanged)
    counts: Counter[str] = field(default_factory=Counter)
    # When each shortage ends.
    _shortages: dict[str, float] = field(default_factory=dict)
    _golden_snapshots: int = 0

    def create_golden_snapshot(self) -> str:
        """Create a newer snapshot for the pool that has a snapshot prefix, and return its id."""
        self._golden_snapshots += 1
        (made,) = self.cloud.call(
            "POST",
            "seed",
            {"project": "demo", "snapshots": 1, "name_prefix": f"{GOLDEN}-{self._golden_snapshots}"},
        )["snapshots"]
        year = 2030 + self._golden_snapshots
        self.cloud.call("PATCH", f"snapshots/{made}", {"created_at": f"{year}-01-01T00:00:00.000000"})
        return str(made)

    def end_due_shortages(self) -> None:
        """End each shortage that has lasted long enough. Call this all the time."""
        for name in [name for name, end in self._shortages.items() if end <= time.monotonic()]:
            self._shortages.pop(name)
            self._end_shortage(name)

    def change(self) -> None:
        """Choose one change and make it, if there is an object for it."""
        weights = {
            "spare deleted": 4,
            "spare in error": 4,
            "spare renamed": 2,
            "spare attached": 2,
            "volume in creation set to error": 2,
            "tenant's volume deleted": 1,
            "newer snapshot": 1,
            "snapshot deleted": 1,
            "quota shrunk": 2,
            "account paused": 1,
        }
        name = self.dice.choices(list(weights), list(weights.values()))[0]
        if name not in self._shortages and self._make_change(name):
            self.counts[name] += 1

    def _make_change(self, name: str) -> bool:
        if name == "newer snapshot":
            return bool(self.create_golden_snapshot())
        if name == "snapshot deleted":
            pool = VolumePool.objects.exclude(snapshot_prefix="").get()
            return bool(pool.current_snapshot_id) and self._change_object(
                "DELETE", f"snapshots/{pool.current_snapshot_id}"
            )
        if name == "quota shrunk":
            volumes = len(self.cloud.call("GET", "objects")["volumes"])
            self.cloud.call("POST", "quotas", {"project": "demo", "volumes": volumes, "gigabytes": 4000})
            self._shortages[name] = time.monotonic() + SHORTAGE_SECONDS[name]
            return True
        if name == "account paused":
            self._switch_account(on=False)
            self._shortages[name] = time.monotonic() + SHORTAGE_SECONDS[name]
            return True
        if name == "volume in creation set to error":
            objects = self.cloud.call("GET", "objects")["volumes"]
            volume_id = self._choose([one["id"] for one in objects if one["status"] == "creating"])
            return volume_id is not None and self._change_object(
                "PATCH", f"volumes/{volume_id}", {"status": "error"}
            )
        return self._change_volume(name)

    def _change_volume(self, name: str) -> bool:
        free = Volume.objects.filter(vm=None, snapshots=None).exclude(volume_id=None)
        ready = SpareVolume.objects.claimable()
        rows = free.order_by("created_at") if name.startswith("tenant") else ready
        volume_id = self._choose(list(rows.values_list("volume_id", flat=True)))
        if volume_id is None:
            return False
        if name.endswith("deleted"):
            self.changed.removed.add(volume_id)
            return self._change_object("DELETE", f"volumes/{volume_id}")
        if name == "spare in error":
            return self._change_object("PATCH", f"volumes/{volume_id}", {"status": "error"})
        self.changed.taken.add(volume_id)
        attachment = {"server_id": "another-server", "device": "/dev/vdb", "volume_id": volume_id}
        change = {
            "spare renamed": {"name": "mine now"},
            "spare attached": {"status": "in-use", "attachments": [attachment]},
        }[name]
        return self._change_object("PATCH", f"volumes/{volume_id}", change)

    def _change_object(self, method: str, path: str, body: Any = None) -> bool:
        return change_object(self.cloud, method, path, body)

    def _choose(self, candidates: list[Any]) -> Any:
        return self.dice.choice(candidates) if candidates else None

    def _switch_account(self, *, on: bool) -> None:
        account = CloudAccount.objects.get(pk=self.account.pk)
        account.active = on
        account.save()

    def _end_shortage(self, name: str) -> None:
        if name == "account paused":
            self._switch_account(on=True)
        else:
            self.cloud.call("POST", "quotas", {"project": "demo", "volumes": 2000, "gigabytes": 200000})

    def restore(self) -> None:
        """End every shortage, and detach the volumes that were attached while the portal was about to remove them."""
        self._shortages.clear()
        self._end_shortage("account paused")
        self._end_shortage("quota shrunk")
        pool = VolumePool.objects.exclude(snapshot_prefix="").get()
        if not pool.current_snapshot_id:
            self.create_golden_snapshot()
        removing = SpareVolume.objects.filter(status=SpareVolume.Status.REMOVING)
        for volume_id in removing.filter(volume_id__in=self.changed.taken).values_list(
            "volume_id", flat=True
        ):
            self._change_object("PATCH", f"volumes/{volume_id}", {"status": "available", "attachments": []})
