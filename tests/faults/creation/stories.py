"""What may be done to VMs, each as a story: what has to be there before, what is asked for, and how it ends.

A story is told many times: undisturbed, with a fault at each of its requests, with a death and with a cancel at each of
its steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tasks import engine
from tasks.models import Job, JobStatus
from vms.models import VirtualMachine, VMSnapshot
from vms.services import attach_volume, remove_snapshot, remove_vm, take_snapshot

from .stage import Stage
from .worker import Worker

Prepared = Any
Place = tuple[str, str, str]


@dataclass(frozen=True)
class Story:
    """`prepare` is never disturbed; `act` asks for what is; `ends` is how its job ends when nothing goes wrong."""

    name: str
    prepare: Callable[[Stage, Worker], Prepared]
    act: Callable[[Stage, Prepared], Job]
    ends: JobStatus = JobStatus.SUCCEEDED
    # Whether what it began may be left half done, to be asked for again: a removal cannot be taken back.
    is_removal: bool = False
    # Where its person changes his mind: a place as `Worker` names them.
    cancelled_at: Place | None = None


def nothing(stage: Stage, hands: Worker) -> None:
    """Nothing has to be there."""


def builds_that_fail(stage: Stage, hands: Worker) -> None:
    """The next servers find no host."""
    stage.cloud.call("POST", "failing_builds", {"times": 20})


def a_vm(stage: Stage, hands: Worker) -> VirtualMachine:
    """One that boots from its image."""
    return stage.made(hands)


def a_vm_of_a_volume(stage: Stage, hands: Worker) -> VirtualMachine:
    """One that boots from a volume."""
    return stage.made(hands, boot_volume=True)


def a_vm_with_two_volumes(stage: Stage, hands: Worker) -> VirtualMachine:
    """One that boots from a volume and has another."""
    vm = stage.made(hands, boot_volume=True)
    attach_volume(scope=stage.scope, vm_id=vm.pk, size_gb=3)
    hands.settle()
    return vm


def a_snapshot(stage: Stage, hands: Worker) -> VMSnapshot:
    """One of a VM that boots from a volume."""
    vm = stage.made(hands, boot_volume=True)
    take_snapshot(scope=stage.scope, vm_id=vm.pk, name="before")
    hands.settle()
    return VMSnapshot.objects.get()


def removal(volumes: Any) -> Callable[[Stage, VirtualMachine], Job]:
    """Ask for a VM's removal, though it runs."""

    def act(stage: Stage, vm: VirtualMachine) -> Job:
        job = remove_vm(scope=stage.scope, vm_id=vm.pk, volumes=volumes, force=True).job
        assert job is not None
        return job

    return act


def attachment(stage: Stage, vm: VirtualMachine) -> Job:
    """Ask for a new volume on a VM."""
    job = attach_volume(scope=stage.scope, vm_id=vm.pk, size_gb=3).job
    assert job is not None
    return job


def snapshot(stage: Stage, vm: VirtualMachine) -> Job:
    """Ask for an image of a VM."""
    return take_snapshot(scope=stage.scope, vm_id=vm.pk, name="before").job


STORIES = [
    Story("create", nothing, lambda stage, _: stage.create()),
    Story("create with a volume", nothing, lambda stage, _: stage.create(boot_volume=True)),
    Story("create in vain", builds_that_fail, lambda stage, _: stage.create(), JobStatus.FAILED),
    Story(
        "create with a volume in vain",
        builds_that_fail,
        lambda stage, _: stage.create(boot_volume=True),
        JobStatus.FAILED,
    ),
    Story("remove", a_vm, removal("delete"), is_removal=True),
    Story("remove with volumes", a_vm_with_two_volumes, removal("delete"), is_removal=True),
    Story("remove, keep volumes", a_vm_with_two_volumes, removal("keep"), is_removal=True),
    Story("attach a new volume", a_vm, attachment),
    Story("snapshot", a_vm, snapshot),
    Story("snapshot of a volume", a_vm_of_a_volume, snapshot),
    Story(
        "remove a snapshot",
        a_snapshot,
        lambda stage, snapshot: remove_snapshot(scope=stage.scope, snapshot_id=snapshot.pk).job,
        is_removal=True,
    ),
    Story(
        "create with a volume, and cancel",
        nothing,
        lambda stage, _: stage.create(boot_volume=True),
        JobStatus.CANCELLED,
        cancelled_at=("called", "vms.create", "wait_until_running"),
    ),
    Story(
        "attach a new volume, and cancel",
        a_vm,
        attachment,
        JobStatus.CANCELLED,
        cancelled_at=("called", "vms.attach_volume", "wait_until_attached"),
    ),
    Story(
        "snapshot of a volume, and cancel",
        a_vm_of_a_volume,
        snapshot,
        JobStatus.CANCELLED,
        cancelled_at=("called", "vms.snapshot", "wait_until_image_active"),
    ),
]
BY_NAME = {story.name: story for story in STORIES}


@dataclass
class Telling:
    """A story that is being told, and its job."""

    story: Story
    stage: Stage
    hands: Worker
    prepared: Prepared = None
    job: Job | None = None

    def begin(self) -> Telling:
        """Prepare it, undisturbed; what is counted from here on is the story's own."""
        self.hands.armed, self.hands.at_point = None, None
        self.stage.clear()
        self.prepared = self.story.prepare(self.stage, self.hands)
        self.hands.passed.clear()
        self.hands.deaths = 0
        self.stage.cloud.call("DELETE", "requests")
        return self

    def act(self) -> Job:
        """Ask for what the story is about."""
        self.job = self.story.act(self.stage, self.prepared)
        if self.story.cancelled_at is not None:
            self.cancel_at(self.story.cancelled_at)
        return self.job

    def cancel_at(self, place: Place) -> None:
        """Cancel the job when its worker passes a place, before it may die there."""
        job = self.job
        assert job is not None
        done: list[bool] = []
        others = self.hands.at_point

        def look(*at: str) -> None:
            if others is not None:
                others(*at)
            if at == place and not done:
                done.append(engine.cancel(job))

        self.hands.at_point = look

    def end(self) -> list[str]:
        """Let everything settle, nothing disturbing it any more; what is wrong then."""
        self.hands.armed, self.hands.at_point = None, None
        self.stage.cloud.no_faults()
        self.hands.settle()
        assert self.job is not None
        self.job.refresh_from_db()
        wrong = []
        if self.story.is_removal and self.job.status in {JobStatus.FAILED, JobStatus.CANCELLED}:
            # Half a removal may be left, but it can be asked for again, and then nothing is.
            again = self.story.act(self.stage, self.prepared)
            self.hands.settle()
            again.refresh_from_db()
            if again.status != JobStatus.SUCCEEDED:
                wrong.append(f"asked for again: {again.status} {again.outcome_message}")
        return wrong + [f"{name}: {one}" for name, found in self.stage.broken().items() for one in found]

    @property
    def outcome(self) -> str:
        """How it ended, in words."""
        assert self.job is not None
        return f"{self.job.status} ({self.job.outcome_code}: {self.job.outcome_message})"
