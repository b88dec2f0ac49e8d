"""What the cloud did, held against what the jobs explain: server by server, action by action.

A VM has one job at a time, from the click that made it to its end, so an action belongs to the job in whose time it
reached the cloud; one that reached it outside of every job's time is nobody's, and wrong.

What a job explains, derived from `vms/commands/power.py`:

1. A start that succeeded: one os-start, or none if the server ran when the job began ("it was so already"). Nova
   accepts a start of a stopped server alone, so a second one could only follow a stop, which no start asks for.
2. A stop likewise.
3. A start or stop that did not succeed: nothing, or its own action once and then the opposite once, as undo.
   Never one without the other: a job is only `failed` or `cancelled` when what it did is taken back.
4. A restart that succeeded: exactly one reboot. Nova would accept any number, so this is where doubling shows.
5. A restart that did not succeed: no reboot, or one; there is no undo for it.
6. No job does anything else.

The actions, one after another, also say how each server must be at the end.
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
class Act:
    """An action that the cloud accepted: when it came, and what was done to the request on purpose."""

    at: datetime
    action: str
    fault: str


@dataclass(slots=True)
class Account:
    """One VM's: its jobs in order, what the cloud did in the time of each, and what is wrong."""

    vm: Vm
    status: str = ""
    wrong: list[str] = field(default_factory=list)
    acts: int = 0


def accepted_acts(entries: Iterable[dict[str, Any]]) -> dict[str, list[Act]]:
    """The accepted actions of the simulator's request log, by server, in the order in which they came."""
    found: dict[str, list[Act]] = {}
    for entry in entries:
        if entry["action"] and entry["accepted"]:
            at = datetime.fromtimestamp(entry["time"], UTC)
            found.setdefault(entry["object"], []).append(Act(at, entry["action"], entry["fault"] or ""))
    return {server: sorted(acts, key=lambda act: act.at) for server, acts in found.items()}


def settle_account(vm: Vm, jobs: Sequence[Any], acts: Sequence[Act]) -> Account:
    """Hold one VM's jobs against what the cloud did to its server."""
    account = Account(vm, status=vm.began_as, acts=len(acts))
    left = list(acts)
    for job in sorted(jobs, key=lambda job: job.created_at):
        before = account.status
        mine = []
        while left and left[0].at <= job.ended_at:
            act = left.pop(0)
            if act.at < job.created_at:
                account.wrong.append(
                    f"server {vm.server}: {_told(act)} before job {job.pk}, in no job's time"
                )
            mine.append(act)
            account.status = LEADS_TO.get(act.action, account.status)
        if problem := _problem(job, before, mine):
            told = ", ".join(map(_told, mine)) or "nothing"
            account.wrong.append(
                f"server {vm.server} ({before}): job {job.pk} {job.kind} {job.status} ({job.outcome_code})"
                f" {job.created_at:%H:%M:%S.%f}-{job.ended_at:%H:%M:%S.%f} {problem}; the cloud did {told}"
            )
    for act in left:
        account.wrong.append(f"server {vm.server}: {_told(act)} after its last job")
        account.status = LEADS_TO.get(act.action, account.status)
    return account


def _problem(job: Any, before: str, acts: Sequence[Act]) -> str:
    """Why what the cloud did is not what a job explains; empty when it is."""
    own = ACTION_OF[job.kind]
    done = Counter(act.action for act in acts)
    times = done.pop(own, 0)
    if job.status == "succeeded":
        if done:
            return f"succeeded, and yet the cloud did {dict(done)}"
        if times == 1:
            return ""
        already = own != "reboot" and before == LEADS_TO[own]
        return "" if times == 0 and already else f"succeeded with {times} x {own}"
    undone = done.pop(OPPOSITE.get(own, ""), 0)
    if done:
        return f"the cloud did {dict(done)}"
    if times > 1 or undone > 1:
        return f"{times} x {own} and {undone} x its undo"
    if own != "reboot" and times != undone:
        return f"{times} x {own} and {undone} x its undo: not taken back"
    return ""


def _told(act: Act) -> str:
    return f"{act.action} at {act.at:%H:%M:%S.%f}" + (f" ({act.fault})" if act.fault else "")
