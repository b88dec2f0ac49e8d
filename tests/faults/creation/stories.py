"""The stories about VMs: each prepares a state, requests an operation, and knows how that ends.

The tests run a story undisturbed, then with a fault at each of its requests, and with a death and a cancellation at each
of its steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tasks import engine
from tasks.models import Job, JobStatus
from tests.faults.killable_worker import Worker
from vms.models import VirtualMachine, VMSnapshot
from vms.services import attach_volume, remove_snapshot, remove_vm, take_snapshot

from .stage import Stage

Prepared = Any
Place = tuple[str, str, str]


@dataclass(frozen=True)
class Story:
    """One story: `prepare` is never disturbed, `act` is. `ends` is the status of its job if no fault strikes."""

    name: str
    prepare: Callable[[Stage, Worker], Prepared]
    act: Callable[[Stage, Prepared], Job]
    ends: JobStatus = JobStatus.SUCCEEDED
    # A removal cannot be undone: one that fails leaves half of the VM, and is requested again.
    is_removal: bool = False
    # The place at which the job is cancelled, as `Worker` names places.
    cancelled_at: Place | None = None


def prepare_nothing(stage: Stage, worker: Worker) -> None:
    """Prepare nothing."""


def prepare_failing_builds(stage: Stage, worker: Worker) -> None:
    """Have the next servers find no host."""
    stage.cloud.call("POST", "failing_builds", {"times": 20})


def prepare_vm(stage: Stage, worker: Worker) -> VirtualMachine:
    """Prepare a VM that boots from its image."""
    return stage.create_vm(worker)


def prepare_vm_with_boot_volume(stage: Stage, worker: Worker) -> VirtualMachine:
    """Prepare a VM that boots from a volume."""
    return stage.create_vm(worker, boot_volume=True)


def prepare_vm_with_two_volumes(stage: Stage, worker: Worker) -> VirtualMachine:
    """Prepare a VM that boots from a volume and has another one attached."""
    vm = stage.create_vm(worker, boot_volume=True)
    attach_volume(scope=stage.scope, vm_id=vm.pk, size_gb=3)
    worker.settle()
    return vm


def prepare_snapshot(stage: Stage, worker: Worker) -> VMSnapshot:
    """Prepare a snapshot of a VM that boots from a volume."""
    vm = stage.create_vm(worker, boot_volume=True)
    take_snapshot(scope=stage.scope, vm_id=vm.pk, name="before")
    worker.settle()
    return VMSnapshot.objects.get()


def request_removal(volumes: Any) -> Callable[[Stage, VirtualMachine], Job]:
    """Return a function that requests the removal of a running VM."""

    def act(stage: Stage, vm: VirtualMachine) -> Job:
        job = remove_vm(scope=stage.scope, vm_id=vm.pk, volumes=volumes, force=True).job
        assert job is not None
        return job

    return act


def request_attachment(stage: Stage, vm: VirtualMachine) -> Job:
    """Request a new volume for a VM."""
    job = attach_volume(scope=stage.scope, vm_id=vm.pk, size_gb=3).job
    assert job is not None
    return job


def request_snapshot(stage: Stage, vm: VirtualMachine) -> Job:
    """Request a snapshot of a VM."""
    return take_snapshot(scope=stage.scope, vm_id=vm.pk, name="before").job


STORIES = [
    Story("create", prepare_nothing, lambda stage, _: stage.request_vm()),
    Story("create with a volume", prepare_nothing, lambda stage, _: stage.request_vm(boot_volume=True)),
    Story("create in vain", prepare_failing_builds, lambda stage, _: stage.request_vm(), JobStatus.FAILED),
    Story(
        "create with a volume in vain",
        prepare_failing_builds,
        lambda stage, _: stage.request_vm(boot_volume=True),
        JobStatus.FAILED,
    ),
    Story("remove", prepare_vm, request_removal("delete"), is_removal=True),
    Story("remove with volumes", prepare_vm_with_two_volumes, request_removal("delete"), is_removal=True),
    Story("remove, keep volumes", prepare_vm_with_two_volumes, request_removal("keep"), is_removal=True),
    Story("attach a new volume", prepare_vm, request_attachment),
    Story("snapshot", prepare_vm, request_snapshot),
    Story("snapshot of a volume", prepare_vm_with_boot_volume, request_snapshot),
    Story(
        "remove a snapshot",
        prepare_snapshot,
        lambda stage, snapshot: remove_snapshot(scope=stage.scope, snapshot_id=snapshot.pk).job,
        is_removal=True,
    ),
    Story(
        "create with a volume, and cancel",
        prepare_nothing,
        lambda stage, _: stage.request_vm(boot_volume=True),
        JobStatus.CANCELLED,
        cancelled_at=("called", "vms.create", "wait_until_running"),
    ),
    Story(
        "attach a new volume, and cancel",
        prepare_vm,
        request_attachment,
        JobStatus.CANCELLED,
        cancelled_at=("called", "vms.attach_volume", "wait_until_attached"),
    ),
    Story(
        "snapshot of a volume, and cancel",
        prepare_vm_with_boot_volume,
        request_snapshot,
        JobStatus.CANCELLED,
        cancelled_at=("called", "vms.snapshot", "wait_until_image_active"),
    ),
]
STORIES_BY_NAME = {story.name: story for story in STORIES}


@dataclass
class StoryRun:
    """A story that is run, and its job."""

    story: Story
    stage: Stage
    worker: Worker
    prepared: Prepared = None
    job: Job | None = None

    def prepare(self) -> StoryRun:
        """Prepare the state, undisturbed. Requests and passes are counted from here on."""
        self.worker.armed, self.worker.on_point = None, None
        self.stage.clear()
        self.prepared = self.story.prepare(self.stage, self.worker)
        self.worker.passed.clear()
        self.worker.deaths = 0
        self.stage.cloud.call("DELETE", "requests")
        return self

    def act(self) -> Job:
        """Request the operation of the story."""
        self.job = self.story.act(self.stage, self.prepared)
        if self.story.cancelled_at is not None:
            self.cancel_at(self.story.cancelled_at)
        return self.job

    def cancel_at(self, place: Place) -> None:
        """Cancel the job when its worker passes a place, before the worker dies there."""
        job = self.job
        assert job is not None
        cancelled: list[bool] = []
        previous = self.worker.on_point

        def on_point(*passed: str) -> None:
            if previous is not None:
                previous(*passed)
            if passed == place and not cancelled:
                cancelled.append(engine.cancel(job))

        self.worker.on_point = on_point

    def finish(self) -> list[str]:
        """End every fault, work until the job has ended, and return a sentence for each violation."""
        self.worker.armed = None
        if self.story.cancelled_at is None:
            self.worker.on_point = None
        self.stage.cloud.no_faults()
        # A fault may have kept the job from the place at which it is to be cancelled: that still comes.
        self.worker.settle()
        self.worker.on_point = None
        assert self.job is not None
        self.job.refresh_from_db()
        wrong = []
        if self.story.is_removal and self.job.status in {JobStatus.FAILED, JobStatus.CANCELLED}:
            # Half of the VM may be left. The removal can be requested again, and then nothing is left.
            again = self.story.act(self.stage, self.prepared)
            self.worker.settle()
            again.refresh_from_db()
            if again.status != JobStatus.SUCCEEDED:
                wrong.append(f"requested again: {again.status} {again.outcome_message}")
        return wrong + [
            f"{name}: {violation}"
            for name, violations in self.stage.find_violations().items()
            for violation in violations
        ]

    @property
    def outcome(self) -> str:
        """Return the status of the job with its message."""
        assert self.job is not None
        return f"{self.job.status} ({self.job.outcome_code}: {self.job.outcome_message})"
