"""After any history of servers and VMs, the rows agree with the cloud.

Hypothesis generates the histories. In a history servers are started, stopped, changed and deleted without the portal, users
request every action, jobs run or wait, syncs run in full, in part or between other events, and the cloud is fast or slow,
fails, and loses responses.
Then all faults end, all jobs run to their end, and after a listing of changes and two full listings the rows have to agree
with the cloud. The invariants (`test_histories_checks.check`) are checked after every event.

The histories are the same in every run, so that a failure is due to a change of the code.
For a search with other histories: `PORTAL_STORIES=1000 python -m pytest tests/vms/test_histories.py`.
"""

from __future__ import annotations

import os
from datetime import timedelta
from functools import partial
from typing import ClassVar

import pytest
from django.db.models.functions import Now
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.stories import ALL, count_examples
from vms import services
from vms.actions import ACTIONS
from vms.models import VirtualMachine, VMOperationLog
from vms.sync import status

from .test_histories_checks import check, compare
from .test_histories_world import World, world_of

pytestmark = [
    pytest.mark.django_db(transaction=True),
    # A story that fails is told again and again until it is as short as can be.
    pytest.mark.timeout(7200),
]

SETTINGS = settings(
    max_examples=count_examples(3),
    stateful_step_count=int(os.environ.get("PORTAL_STORY_STEPS", "20")),
    derandomize=not ALL,
    database=None,
    deadline=None,  # One story is a few hundred requests; how long they take is the machine's matter.
    suppress_health_check=list(HealthCheck),
)

WHICH = st.integers(0, 7)
ASKED_OF_NOVA = st.sampled_from(
    [
        ("os-start", None),
        ("os-stop", None),
        ("pause", None),
        ("unpause", None),
        ("suspend", None),
        ("resume", None),
        ("shelve", None),
        ("unshelve", None),
        ("reboot", {"type": "HARD"}),
        ("confirmResize", None),
        ("revertResize", None),
        ("delete", None),
    ]
)
ADDRESSES = {
    "lan": [
        {"version": 6, "addr": "fd00::7", "OS-EXT-IPS:type": "fixed", "OS-EXT-IPS-MAC:mac_addr": "fa:16:3e:00:00:07"},
        {"version": 4, "addr": "172.24.0.9", "OS-EXT-IPS:type": "floating", "OS-EXT-IPS-MAC:mac_addr": "fa:16:3e:00:00:07"},
    ]
}  # fmt: skip
BECOMES = st.sampled_from(
    [
        {"status": "ACTIVE"},
        {"status": "SHUTOFF"},
        {"status": "SHELVED"},
        {"status": "UNKNOWN"},
        {"status": "DANCING"},
        {"status": "ERROR", "fault": "The host is on fire."},
        {"addresses": ADDRESSES},
        {"addresses": {}},
        {"name": "renamed by others"},
    ]
)
FAULTS = st.sampled_from(
    [
        # The whole cloud is away; a page of a listing is; answers are lost after the work was done.
        {"service": "compute", "path": ".*", "kind": "status", "status": 503, "times": 2},
        {"service": "compute", "path": "servers/detail", "kind": "status", "status": 503, "times": 1},
        {"service": "compute", "path": "servers/detail", "kind": "garbage", "times": 1},
        {"service": "compute", "method": "POST", "path": ".*", "kind": "lose_answer", "times": 1},
        {"service": "volumev3", "method": "POST", "path": ".*", "kind": "lose_answer", "times": 1},
        {"service": "compute", "method": "DELETE", "path": ".*", "kind": "status", "status": 500, "times": 1},
    ]
)
# One thing that happens in the middle of a sync, after a page was read and before it is compared.
MEANWHILE = st.one_of(
    st.tuples(st.just("act"), WHICH, ASKED_OF_NOVA),
    st.tuples(st.just("change"), WHICH, BECOMES),
    st.tuples(st.just("control"), WHICH, st.sampled_from(sorted(ACTIONS))),
    st.tuples(st.just("control and work"), WHICH, st.sampled_from(sorted(ACTIONS))),
    st.tuples(st.just("work")),
)


class History(RuleBasedStateMachine):
    """A state machine of a portal and its cloud."""

    world: ClassVar[World]

    def __init__(self):
        super().__init__()
        self.sound = True

    @initialize(servers=st.integers(1, 7), strangers=st.integers(0, 2), synced=st.booleans())
    def begin(self, servers, strangers, synced):
        self.world.begin(servers, strangers)
        if synced:
            self.world.sync()

    # --- Behind the portal's back ---

    @rule(which=WHICH, asked=ASKED_OF_NOVA)
    def somebody_else_asks_nova(self, which, asked):
        self.world.act(which, *asked)

    @rule(which=WHICH, becomes=BECOMES)
    def a_server_changes(self, which, becomes):
        self.world.change(which, becomes)

    @rule(which=WHICH, count=st.integers(1, 3))
    def servers_are_lost(self, which, count):
        for number in range(count):
            self.world.lose(which + number)

    @rule(seconds=st.sampled_from([0, 0, 20]))
    def the_cloud_becomes_quick_or_slow(self, seconds):
        self.world.cloud.clock(build_seconds=seconds, action_seconds=seconds, volume_seconds=seconds)

    @rule(
        what=st.sampled_from(["failing_builds", "failing_resizes"]),
        ends=st.sampled_from(["ERROR", "as before"]),
    )
    def the_cloud_will_fail(self, what, ends):
        self.world.cloud.call("POST", what, {"times": 1, "ends": ends})

    @rule(fault=FAULTS)
    def the_cloud_misbehaves(self, fault):
        self.world.cloud.faults(fault)

    # --- People ---

    @rule(which=WHICH, action=st.sampled_from(sorted(ACTIONS)), worked_off=st.booleans())
    def control(self, which, action, worked_off):
        self.world.ask(which, "control_vm", action=action)
        self.maybe_work(worked_off)

    @rule(which=WHICH, hard=st.booleans())
    def restart(self, which, hard):
        self.world.ask(which, "control_vm", action="restart", hard=hard)

    @rule(boot_volume=st.booleans(), worked_off=st.booleans())
    def create(self, boot_volume, worked_off):
        self.world.create(boot_volume=boot_volume)
        self.maybe_work(worked_off)

    @rule(
        which=WHICH,
        volumes=st.sampled_from(["delete", "keep"]),
        force=st.booleans(),
        worked_off=st.booleans(),
    )
    def remove(self, which, volumes, force, worked_off):
        self.world.ask(which, "remove_vm", volumes=volumes, force=force)
        self.maybe_work(worked_off)

    @rule(which=WHICH, size=st.sampled_from([(1, 1), (2, 4), (4, 8)]), worked_off=st.booleans())
    def resize(self, which, size, worked_off):
        self.world.ask(which, "resize_vm", cpu_cores=size[0], memory_gb=size[1])
        self.maybe_work(worked_off)

    @rule(which=WHICH, volume=WHICH, new=st.booleans(), worked_off=st.booleans())
    def volumes_move(self, which, volume, new, worked_off):
        if new:
            self.world.ask(which, "attach_volume", size_gb=1)
        else:
            self.world.move_volume(which, volume)
        self.maybe_work(worked_off)

    @rule(which=WHICH, worked_off=st.booleans())
    def take_a_snapshot(self, which, worked_off):
        self.world.ask(which, "take_snapshot", name="before")
        self.maybe_work(worked_off)

    @rule(which=WHICH, fields=st.sampled_from([{"name": "other"}, {"metadata": {"a": "b"}}]))
    def rename(self, which, fields):
        self.world.ask(which, "change_vm", fields=fields, if_match=None)

    @rule(which=WHICH, days=st.sampled_from([-1, -1, 1]))
    def the_runtime_window_looks(self, which, days):
        self.world.run_until(which, days)
        services.warn_of_runtime_end()
        services.stop_at_runtime_end()

    @rule()
    def somebody_wants_a_sync(self):
        services.request_sync(scope=self.world.scope)

    # --- What goes on by itself ---

    @rule(which=WHICH)
    def a_worker_takes_a_job(self, which):
        self.world.work_on(which)

    @rule()
    def a_round_of_work(self):
        self.world.work_round()

    @rule()
    def all_is_worked_off(self):
        self.world.work()

    @rule(seconds=st.sampled_from([1, 10, 400, 4000]))
    def time_passes(self, seconds):
        self.world.pass_time(seconds)

    @rule(full=st.sampled_from([False, False, True]), times=st.integers(1, 2))
    def sync(self, full, times):
        for _ in range(times):
            self.world.sync(full=full)

    @rule(
        full=st.booleans(),
        moves=st.lists(MEANWHILE, min_size=1, max_size=3),
        page_size=st.sampled_from([1, 2, 1000]),
    )
    def sync_in_the_middle_of_it(self, full, moves, page_size):
        meanwhile = [partial(self.move, *move) for move in moves]
        self.world.sync(full=full, meanwhile=meanwhile, page_size=page_size)

    def move(self, kind, *details):
        if kind == "act":
            self.world.act(details[0], *details[1])
        elif kind == "change":
            self.world.change(*details)
        elif kind == "work":
            self.world.work_round()
        else:
            self.world.ask(details[0], "control_vm", action=details[1])
            if kind == "control and work":
                self.world.work_round()
                self.world.work_round()

    @rule()
    def orphans_are_swept(self):
        self.world.sweep()

    def maybe_work(self, worked_off):
        if worked_off:
            self.world.work()

    @invariant()
    def what_must_hold_holds(self):
        self.sound = False
        check()
        self.sound = True

    def teardown(self):
        if self.sound:
            self.world.settle()


def test_whatever_happens_the_rows_end_as_the_cloud(cloud, account, settings):
    settings.ORPHANS_REMOVE = True
    with world_of(cloud, account) as History.world:
        run_state_machine_as_test(History, settings=SETTINGS)


# --- That the checks can fail ------------------------------------------------------------------------------


@pytest.fixture
def world(cloud, account):
    with world_of(cloud, account) as world:
        world.begin(4, 0)
        world.sync()
        yield world


def test_a_sync_over_something_newer_is_noticed(world, monkeypatch):
    monkeypatch.setattr(status, "database_now", lambda: timezone.now() + timedelta(hours=1))
    world.act(0, "pause")

    def somebody_stops_it():
        VirtualMachine.objects.filter(openstack_id=world.server_of(0)).update(written_at=Now())

    world.sync(full=True, meanwhile=[somebody_stops_it])
    with pytest.raises(AssertionError, match="over something newer"):
        check()


def test_a_write_of_the_sync_to_what_a_job_holds_is_noticed(world):
    assert world.ask(0, "control_vm", action="stop")
    with world.writer("sync"):
        VirtualMachine.objects.update(status="paused")
    with pytest.raises(AssertionError, match="which a job holds"):
        check()


def test_a_transition_that_is_not_logged_is_noticed(world):
    world.act(0, "os-stop")
    world.sync()
    check()
    VMOperationLog.objects.all().delete()
    with pytest.raises(AssertionError):
        check()


def test_a_server_that_is_missing_and_not_noted_is_noticed(world, monkeypatch):
    monkeypatch.setattr(status, "mark_missing", lambda *args: None)
    world.lose(0)
    with pytest.raises(AssertionError, match="running"):
        world.sync(full=True)


def test_a_row_that_is_not_as_the_cloud_is_noticed(world):
    world.settle()
    VirtualMachine.objects.filter(openstack_id=world.server_of(0)).update(ip_address="10.9.9.9")
    with pytest.raises(AssertionError, match=r"10\.9\.9\.9"):
        compare(world.servers())
