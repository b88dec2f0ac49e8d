"""What happens in the cloud behind the portal's back, and around the pools: chosen by one seeded generator."""

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

from .invariants import BehindOurBack

GOLDEN = "golden"
# How many seconds a shortage lasts. By steps that end, an account that is off would stay so: nothing moves then.
LASTS = {"quota shrunk": 4.0, "account paused": 2.0}


def changed(cloud: SimulatedCloud, method: str, path: str, body: Any = None) -> bool:
    """Change something through the control API; whether it was there.

    The simulator closes the connection when what it has just found ends at that moment.
    """
    try:
        return bool(cloud.session.request(method, f"{cloud.url}/_control/{path}", json=body, timeout=60).ok)
    except requests.ConnectionError:
        return False


@dataclass
class Meddler:
    """Somebody with rights of his own in the cloud, and an operator who is not quite awake."""

    cloud: SimulatedCloud
    account: CloudAccount
    chance: Random
    done: BehindOurBack = field(default_factory=BehindOurBack)
    did: Counter[str] = field(default_factory=Counter)
    _ends: dict[str, float] = field(default_factory=dict)
    _goldens: int = 0

    def new_golden(self) -> str:
        """A newer snapshot for the pool that goes by a prefix; its id."""
        self._goldens += 1
        (made,) = self.cloud.call(
            "POST", "seed", {"project": "demo", "snapshots": 1, "name_prefix": f"{GOLDEN}-{self._goldens}"}
        )["snapshots"]
        year = 2030 + self._goldens
        self.cloud.call("PATCH", f"snapshots/{made}", {"created_at": f"{year}-01-01T00:00:00.000000"})
        return str(made)

    def end_what_is_over(self) -> None:
        """End each shortage that has lasted long enough; to be called all the time."""
        for name in [name for name, end in self._ends.items() if end <= time.monotonic()]:
            self._ends.pop(name)
            self._end(name)

    def meddle(self) -> None:
        """Do one thing, if there is something to do it to."""
        things = {
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
        name = self.chance.choices(list(things), list(things.values()))[0]
        if name not in self._ends and self._do(name):
            self.did[name] += 1

    def _do(self, name: str) -> bool:
        if name == "newer snapshot":
            return bool(self.new_golden())
        if name == "snapshot deleted":
            pool = VolumePool.objects.exclude(snapshot_prefix="").get()
            return bool(pool.current_snapshot_id) and self._call(
                "DELETE", f"snapshots/{pool.current_snapshot_id}"
            )
        if name == "quota shrunk":
            volumes = len(self.cloud.call("GET", "objects")["volumes"])
            self.cloud.call("POST", "quotas", {"project": "demo", "volumes": volumes, "gigabytes": 4000})
            self._ends[name] = time.monotonic() + LASTS[name]
            return True
        if name == "account paused":
            self._switch_account(on=False)
            self._ends[name] = time.monotonic() + LASTS[name]
            return True
        if name == "volume in creation set to error":
            objects = self.cloud.call("GET", "objects")["volumes"]
            volume_id = self._one([one["id"] for one in objects if one["status"] == "creating"])
            return volume_id is not None and self._call("PATCH", f"volumes/{volume_id}", {"status": "error"})
        return self._touch(name)

    def _touch(self, name: str) -> bool:
        free = Volume.objects.filter(vm=None, snapshots=None).exclude(volume_id=None)
        ready = SpareVolume.objects.claimable()
        rows = free.order_by("created_at") if name.startswith("tenant") else ready
        volume_id = self._one(list(rows.values_list("volume_id", flat=True)))
        if volume_id is None:
            return False
        if name.endswith("deleted"):
            self.done.removed.add(volume_id)
            return self._call("DELETE", f"volumes/{volume_id}")
        if name == "spare in error":
            return self._call("PATCH", f"volumes/{volume_id}", {"status": "error"})
        self.done.taken.add(volume_id)
        attachment = {"server_id": "somebodys", "device": "/dev/vdb", "volume_id": volume_id}
        change = {
            "spare renamed": {"name": "mine now"},
            "spare attached": {"status": "in-use", "attachments": [attachment]},
        }[name]
        return self._call("PATCH", f"volumes/{volume_id}", change)

    def _call(self, method: str, path: str, body: Any = None) -> bool:
        return changed(self.cloud, method, path, body)

    def _one(self, things: list[Any]) -> Any:
        return self.chance.choice(things) if things else None

    def _switch_account(self, *, on: bool) -> None:
        account = CloudAccount.objects.get(pk=self.account.pk)
        account.active = on
        account.save()

    def _end(self, name: str) -> None:
        if name == "account paused":
            self._switch_account(on=True)
        else:
            self.cloud.call("POST", "quotas", {"project": "demo", "volumes": 2000, "gigabytes": 200000})

    def heal(self) -> None:
        """Nothing is short any more, and what somebody took while the portal was about to remove it is let go."""
        self._ends.clear()
        self._end("account paused")
        self._end("quota shrunk")
        pool = VolumePool.objects.exclude(snapshot_prefix="").get()
        if not pool.current_snapshot_id:
            self.new_golden()
        removing = SpareVolume.objects.filter(status=SpareVolume.Status.REMOVING)
        for volume_id in removing.filter(volume_id__in=self.done.taken).values_list("volume_id", flat=True):
            self._call("PATCH", f"volumes/{volume_id}", {"status": "available", "attachments": []})
