"""Random histories of a cloud and of failures during its listings: the rows match the complete listings.

In the first test, each request of a sync of each type is broken in its turn, while there is something to find.

In the second one, hypothesis writes stories: objects are made, renamed, changed, deleted and come back, requests fail,
the page size changes, people believe losses or do not, and types are synced in between. What must have come of it is
worked out by a model of some thirty lines (`sync_model.py`), and compared with rows, changes, links and logs.

The stories are the same at every run. For a search with others:
`PORTAL_STORIES=1000 python -m pytest tests/cloudaccounts/test_sync_histories.py`; with it, also every kind of fault is
tried at every request, with and without logging in.
"""

from __future__ import annotations

import os
from functools import partial
from itertools import cycle
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from cloudaccounts.connect import open_cloud
from cloudaccounts.models import CloudResource, SyncLog
from cloudaccounts.registry import list_syncers
from cloudaccounts.sync.resources import run_sync, sync_resource
from tests.stories import ALL, count_examples

from .resource_checks import (
    REGION,
    check_logs,
    check_rows,
    close_clouds,
    get_stored_objects,
    limit_page_sizes,
    list_cloud_names,
    list_row_names,
    list_visible_keys,
)
from .sync_model import Model

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(7200)]

TYPES = [syncer.type for syncer in list_syncers("openstack")]

# --- Every request is broken ---

KINDS = [
    {"kind": "status", "status": 500, "times": 1},
    {"kind": "cut", "times": 9},
    {"kind": "garbage", "times": 1},
    {"kind": "reset", "times": 9},
    {"kind": "status", "status": 404, "times": 1},
    {"kind": "lose_answer", "times": 9},
    {"kind": "status", "status": 200, "times": 1},
    {"kind": "status", "status": 429, "headers": {"Retry-After": "1"}, "times": 1},
]
HANGS = {"kind": "hang", "seconds": 2, "times": 1}
SEEDED = ("volumes", "snapshots", "images", "networks", "subnets", "security_groups", "ports", "floating_ips")


class Stirred:
    """The objects of a type, of which at every stir one goes, the last one that went comes back, and another gets a new name."""

    def __init__(self, simulator, type_code):
        self.simulator, self.type = simulator, type_code
        self.away, self.number = {}, 0

    def stir(self):
        if self.type == "quota":
            return
        self.number += 1
        with self.simulator.state.lock:
            things = get_stored_objects(self.simulator, self.type)
            mine = list_visible_keys(self.simulator, self.type)
            back, self.away = self.away, {mine[0]: things.pop(mine[0])}
            things.update(back)
            rename(things, mine[-1], f"renamed {self.number}")
            self.simulator.state.regions[REGION].invalidate_order()

    def check(self, account, said=None):
        """Run one undisturbed sync, after which the rows equal the cloud."""
        good = sync_resource(account.pk, self.type)
        assert good.state == "success", (said, good.message)
        if self.type != "quota":
            assert list_row_names(type=self.type, missing_count=0) == list_cloud_names(
                self.simulator, self.type
            ), said
            assert len(losses(self.type)) == len(self.away), said

    def end(self, account):
        """All are there again."""
        with self.simulator.state.lock:
            if self.away:
                get_stored_objects(self.simulator, self.type).update(self.away)
                self.simulator.state.regions[REGION].invalidate_order()
        self.away = {}
        self.check(account)


def rename(things, key, name):
    """Another name, or what there is instead of one."""
    thing = things[key]
    if isinstance(thing, bool):
        things[key] = not thing
    elif isinstance(thing, dict):
        named = "description" if "floating_ip_address" in thing else "name"
        thing["fingerprint" if "fingerprint" in thing else named] = name
    else:
        thing.name, thing.text = name, None


def break_request(cloud, number, fault):
    """From now on, the n-th request goes wrong."""
    cloud.no_faults()
    cloud.faults({"kind": "delay", "seconds": 0, "times": number - 1}, fault)


def losses(type_code):
    """The missing counts of resources, and whether they have expired."""
    found = CloudResource.objects.filter(type=type_code, missing_count__gt=0)
    return {row.cloud_id: (row.missing_count, row.expired_at) for row in found}


def broken_at_every_request(simulator, cloud, account, type_code, faults, *, logged_in):
    """Break each request of a sync with one of the faults, and sync well after it; how many syncs were broken and failed."""
    world = Stirred(simulator, type_code)
    failed = 0
    world.check(account)
    world.stir()
    if not logged_in:
        close_clouds()
    since = cloud.call("GET", "requests")["next"]
    assert sync_resource(account.pk, type_code).state == "success"
    requests = cloud.call("GET", "requests", since=since)["counts"]["total"]
    for number in range(1, requests + 1):
        world.stir()
        before = losses(type_code)
        if not logged_in:
            close_clouds()
        fault = next(faults)
        break_request(cloud, number, fault)
        log = sync_resource(account.pk, type_code)
        assert cloud.call("GET", "faults")["faults"][-1]["struck"]
        cloud.no_faults()
        said = (type_code, number, fault, log.message)
        if log.state == "failed":
            failed += 1
            assert (log.expired, log.missing) == (0, 0), said
            assert "error of the portal" not in log.message, said
            assert losses(type_code).items() <= before.items(), said
        world.check(account, said)
    world.end(account)
    return requests, failed


@pytest.mark.story
def test_error_of_any_request_expires_nothing_and_the_next_sync_succeeds(
    simulator, cloud, account, monkeypatch
):
    limit_page_sizes(monkeypatch, 3)
    cloud.call("POST", "seed", {"project": "demo", "volumes": 1})
    cloud.call(
        "POST",
        "seed",
        {"project": "demo", **dict.fromkeys(SEEDED, 4), "keypairs": 5, "servers": 5, "routers": 5},
    )
    cloud.call("POST", "zones", {"zones": {"a": True, "b": True, "c": True}})
    for name in ("together", "apart", "anywhere"):
        open_cloud(account, REGION).compute.create_server_group(name, "soft-affinity")
    kinds = get_stored_objects(simulator, "volume_type")
    for name in ("slow", "slower", "slowest"):
        kinds[name] = {**next(iter(kinds.values())), "id": name, "name": name}
    faults, broken, failed = cycle([*KINDS, HANGS] if ALL else KINDS), 0, 0
    for type_code in TYPES:
        for _round in KINDS if ALL else [None]:
            for logged_in in [True, False] if ALL or type_code in {"image", "volume"} else [True]:
                more = broken_at_every_request(
                    simulator, cloud, account, type_code, faults, logged_in=logged_in
                )
                broken, failed = broken + more[0], failed + more[1]
            next(faults)  # So that each round begins with another one.
    check_rows()
    check_logs()
    assert broken >= 40 and failed >= broken * 0.8, (broken, failed)


# --- Stories ---

SETTINGS = settings(
    max_examples=count_examples(3),
    stateful_step_count=int(os.environ.get("PORTAL_STORY_STEPS", "25")),
    derandomize=not ALL,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
WHICH = st.integers(0, 9)
# After two listings, after one; with links that change, and without.
KIND = st.sampled_from(["volume", "volume", "volume", "port", "zone"])
STATUSES = ["ACTIVE", "DOWN", "error", "dancing"]
BREAKS = st.sampled_from([{**kind, "times": 9} for kind in KINDS])


class History(RuleBasedStateMachine):
    """A cloud and the rows that are kept of it."""

    world: ClassVar[dict[str, Any]]

    def __init__(self):
        super().__init__()
        self.cloud, self.account, self.simulator = (
            self.world[name] for name in ("cloud", "account", "simulator")
        )
        self.patch, self.sound = self.world["patch"], False

    @initialize(volumes=st.integers(0, 6), ports=st.integers(0, 5), zones=st.integers(1, 5))
    def begin(self, volumes, ports, zones):
        self.cloud.no_faults()
        for rows_of in (CloudResource, SyncLog):
            rows_of.objects.all().delete()
        for type_code in ("volume", "port", "zone"):
            get_stored_objects(self.simulator, type_code).clear()
        self.gone = {"volume": {}, "port": {}, "zone": {}}
        self.make("volume", volumes)
        self.make("port", ports)
        self.make("zone", zones)
        self.model = Model(self.simulator, self.gone)
        self.the_page_size_changes(1000)

    def make(self, type_code, number):
        if type_code == "zone":
            zones = get_stored_objects(self.simulator, "zone")
            zones.update({f"zone-{len(zones) + n}": True for n in range(number)})
        elif number:
            self.cloud.call("POST", "seed", {"project": "demo", f"{type_code}s": number})

    def one(self, type_code, which):
        """The key and the object; None when there is none."""
        things = get_stored_objects(self.simulator, type_code)
        if not things:
            return None
        key = list(things)[which % len(things)]
        return key, things[key]

    # --- In the cloud ---

    @rule(kind=KIND, number=st.integers(1, 3))
    def objects_are_made(self, kind, number):
        self.make(kind, number)

    @rule(kind=KIND, which=WHICH, name=st.sampled_from(["a", "b", "", "ü"]))
    def one_is_renamed(self, kind, which, name):
        if (found := self.one(kind, which)) and kind != "zone":
            found[1]["name"] = name

    @rule(kind=KIND, which=WHICH, status=st.sampled_from(STATUSES))
    def ones_status_changes(self, kind, which, status):
        if found := self.one(kind, which):
            if kind == "zone":
                get_stored_objects(self.simulator, kind)[found[0]] = not found[1]
            else:
                # Neutron's words are in capitals, Cinder's are not.
                found[1]["status"] = status.upper() if kind == "port" else status.lower()

    @rule(kind=KIND, which=WHICH, other=st.sampled_from([[], ["x"], ["y", "x"]]))
    def ones_links_change(self, kind, which, other):
        if found := self.one(kind, which):
            if kind == "volume":
                found[1]["snapshot_id"] = other[0] if other else None
            elif kind == "port":
                found[1]["security_groups"] = other

    @rule(kind=KIND, which=WHICH, number=st.sampled_from([1, 1, 2, 5]))
    def some_are_deleted(self, kind, which, number):
        for _ in range(number):
            if found := self.one(kind, which):
                self.gone[kind][found[0]] = get_stored_objects(self.simulator, kind).pop(found[0])

    @rule(kind=KIND, number=st.integers(1, 3))
    def some_come_back(self, kind, number):
        for _ in range(min(number, len(self.gone[kind]))):
            key, thing = self.gone[kind].popitem()
            get_stored_objects(self.simulator, kind).setdefault(key, thing)

    @rule(size=st.sampled_from([1, 2, 3, 1000]))
    def the_page_size_changes(self, size):
        self.patch.undo()
        limit_page_sizes(self.patch, size)

    # --- Syncs ---

    @rule(kind=KIND, times=st.integers(1, 3), accepted=st.sampled_from([False, False, False, True]))
    def a_type_is_synced(self, kind, times, accepted):
        for _ in range(times):
            log = self.synced(kind, accepted)
            self.model.apply_complete_listing(log, accepted=accepted)
            self.checked()

    @rule(kind=KIND, request=st.integers(1, 4), fault=BREAKS)
    def a_sync_is_broken(self, kind, request, fault):
        break_request(self.cloud, request, fault)
        log = self.synced(kind)
        struck = self.cloud.call("GET", "faults")["faults"][-1]["struck"]
        self.cloud.no_faults()
        if struck:
            assert log.state == "failed", fault
            self.model.apply_incomplete_listing(log)
        else:
            self.model.apply_complete_listing(log, accepted=False)
        self.checked()

    def synced(self, kind, accepted=False):
        (log_id,) = SyncLog.objects.open(self.account.pk, [kind], losses_accepted=accepted)
        return run_sync(log_id)

    def checked(self):
        self.sound = False
        self.model.check()
        self.sound = True

    def teardown(self):
        if self.sound:
            check_rows()
            check_logs()


@pytest.fixture
def history(simulator, cloud, account, monkeypatch):
    """The region of the histories."""
    cloud.clock(token_seconds=10**9)
    for type_code in ("volume", "port", "zone"):
        assert sync_resource(account.pk, type_code).state == "success"
    with pytest.MonkeyPatch.context() as patch:
        History.world = {"cloud": cloud, "account": account, "simulator": simulator, "patch": patch}
        yield History


def test_rows_changes_and_links_match_the_listings(history):
    run_state_machine_as_test(history, settings=SETTINGS)


def test_rows_match_the_listings_in_one_fixed_history(history):
    """Told by hand, so that it is certain that each turn is taken; what must have come of it is the model's matter."""
    story = history()
    story.begin(volumes=6, ports=3, zones=4)
    sync = partial(story.a_type_is_synced, times=1, accepted=False)
    for kind in ("volume", "port", "zone"):
        sync(kind=kind)
        sync(kind=kind)
    story.ones_status_changes("port", 0, "error")
    story.ones_links_change("port", 1, ["y", "x"])
    sync(kind="port")
    story.ones_links_change("port", 1, [])
    story.ones_links_change("volume", 0, ["x"])
    for kind in ("port", "volume"):
        sync(kind=kind)
    # Missing once, and back as it was; missing twice, and back as it was; and with another name.
    for times, name in ((1, ""), (2, ""), (2, "another")):
        story.some_are_deleted("volume", 0, 1)
        for _ in range(times):
            sync(kind="volume")
        story.some_come_back("volume", 1)
        if name:
            story.one_is_renamed("volume", 5, name)
        sync(kind="volume")
    # A break in between counts for nothing; too many at once are held back, until somebody believes it.
    story.the_page_size_changes(2)
    for kind, after in (("volume", 2), ("zone", 1)):
        story.some_are_deleted(kind, 0, 5)
        story.objects_are_made(kind, 1)
        for request in (1, 2, 3):
            story.a_sync_is_broken(kind, request, {"kind": "status", "status": 500, "times": 9})
        story.a_type_is_synced(kind, after + 2, accepted=False)
        assert SyncLog.objects.filter(type=kind).first().held_back >= 3
        story.a_type_is_synced(kind, 1, accepted=True)
        assert SyncLog.objects.filter(type=kind).first().expired >= 3
        story.some_come_back(kind, 2)
        sync(kind=kind)
    story.teardown()
