"""The comparison of the cloud's actions with the jobs that explain them: server by server, action by action.

A VM has one job at a time, from the click that made it to its end. So an action belongs to the job during which it reached
the cloud, and an action that reached the cloud during no job is wrong.

What a job explains, derived from `vms/commands/power.py`:

1. A start that succeeded explains one os-start, or none if the server ran when the job began. Nova accepts a start of a
   stopped server only, so a second one could only follow a stop, which no start requests.
2. A stop likewise.
3. A start or stop that did not succeed explains nothing, or its own action once and then the opposite once, as undo.
   Never one without the other: a job is only `failed` or `cancelled` when its effect is undone.
4. A restart that succeeded explains exactly one reboot. Nova would accept any number, so a doubled request shows here.
5. A restart that did not succeed explains no reboot, or one: it has no undo.
6. No job explains any other action.

The sequence of actions also gives the status that each server must have at the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .scene import Vm

ACTION_OF = {"vms.start": "os-start", "vms.stop": "os-stop", "vms.restart": "reboot"}
LEADS_TO = {"os-start": "ACTIVE", "os-stop": "SHUTOFF", "reboot": "ACTIVE"}
OPPOSITE = {"os-start": "os-stop", "os-stop": "os-start"}


@dataclass(frozen=True, slots=True)
class AcceptedAction:
    """An action that the cloud accepted: its time, its name, and the fault that was injected into its request."""

    at: datetime
    name: str
    fault: str


@dataclass(slots=True)
class VmComparison:
    """The result for one VM: the status that its actions lead to, how many they are, and a sentence for each problem."""

    vm: Vm
    status: str = ""
    problems: list[str] = field(default_factory=list)
    actions: int = 0


def read_accepted_actions(entries: Iterable[dict[str, Any]]) -> dict[str, list[AcceptedAction]]:
    """Return the accepted actions in the simulator's request log, by server, in the order in which they came."""
    found: dict[str, list[AcceptedAction]] = {}
    for entry in entries:
        if entry["action"] and entry["accepted"]:
            at = datetime.fromtimestamp(entry["time"], UTC)
            found.setdefault(entry["object"], []).append(
                AcceptedAction(at, entry["action"], entry["fault"] or "")
            )
    return {server: sorted(actions, key=lambda action: action.at) for server, actions in found.items()}


def compare_vm(vm: Vm, jobs: Sequence[Any], actions: Sequence[AcceptedAction]) -> VmComparison:
    """Compare the jobs of one VM with the actions on its server."""
    comparison = VmComparison(vm, status=vm.initial_status, actions=len(actions))
    left = list(actions)
    for job in sorted(jobs, key=lambda job: job.created_at):
        status_before = comparison.status
        during_job = []
        while left and left[0].at <= job.ended_at:
            action = left.pop(0)
            if action.at < job.created_at:
                comparison.problems.append(
                    f"server {vm.server}: {_describe(action)} before job {job.pk}, during no job"
                )
            during_job.append(action)
            comparison.status = LEADS_TO.get(action.name, comparison.status)
        if problem := _find_problem(job, status_before, during_job):
            described = ", ".join(map(_describe, during_job)) or "nothing"
            comparison.problems.append(
                f"server {vm.server} ({status_before}): job {job.pk} {job.kind} {job.status} ({job.outcome_code})"
                f" {job.created_at:%H:%M:%S.%f}-{job.ended_at:%H:%M:%S.%f} {problem}; the cloud did {described}"
            )
    for action in left:
        comparison.problems.append(f"server {vm.server}: {_describe(action)} after its last job")
        comparison.status = LEADS_TO.get(action.name, comparison.status)
    return comparison


def _find_problem(job: Any, status_before: str, actions: Sequence[AcceptedAction]) -> str:
    """Return why a job does not explain these actions; empty if it does."""
    own = ACTION_OF[job.kind]
    counts = Counter(action.name for action in actions)
    times = counts.pop(own, 0)
    if job.status == "succeeded":
        if counts:
            return f"succeeded, but the cloud did {dict(counts)}"
        if times == 1:
            return ""
        was_unnecessary = own != "reboot" and status_before == LEADS_TO[own]
        return "" if times == 0 and was_unnecessary else f"succeeded with {times} x {own}"
    undone = counts.pop(OPPOSITE.get(own, ""), 0)
    if counts:
        return f"the cloud did {dict(counts)}"
    if times > 1 or undone > 1:
        return f"{times} x {own} and {undone} x its undo"
    if own != "reboot" and times != undone:
        return f"{times} x {own} and {undone} x its undo: not undone"
    return ""


def _describe(action: AcceptedAction) -> str:
    return f"{action.name} at {action.at:%H:%M:%S.%f}" + (f" ({action.fault})" if action.fault else "")
