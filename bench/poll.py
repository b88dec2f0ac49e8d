"""1,000 servers starting at once: what the portal asks the cloud meanwhile, and how soon it knows that one is done.

Two runs. In the first each start takes the cloud a fixed time, so the servers become active in the order and at the
pace in which they were asked; it is the one that is held against the limits.
In the second the cloud's clock jumps once all have been asked and the looks have become rare: all 1,000 are done at
the same moment. That is as bad as it gets, and shows how much of the first figure is luck.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import redis

from .cloud import control_api, seeded_vms
from .figures import Figure, Line, Note, percentile
from .stack import Stack
from .waiting import until_all_ended

if TYPE_CHECKING:
    from vms.models import VirtualMachine

SERVERS = 1000
ACTION_SECONDS = 10.0
# Until the looks at a server are as rare as they get (0.2 s doubled up to 10 s).
UNTIL_LOOKS_ARE_RARE = 22.0
NEVER = 100_000.0


def poll(stack: Stack) -> list[Line]:
    """Requests a round, and the time between the cloud being done with a server and its job having ended."""
    from django.conf import settings

    from .rounds import rounds_of, runs_of

    broker = redis.Redis.from_url(settings.REDIS_URL)
    include = "bench.commands,bench.rounds"

    url = stack.simulator()
    vms = seeded_vms(url, "poll", SERVERS, status="SHUTOFF")
    worker = stack.worker("jobs,polling", concurrency=2, include=include)
    control_api(url, "POST", "clock", {"action_seconds": ACTION_SECONDS})
    began = _start(vms, url)
    until_all_ended()
    runs, log = runs_of(broker), control_api(url, "GET", "requests")["requests"]
    asked = _asked_at(log)
    done_at = {server: moment + ACTION_SECONDS for server, moment in asked.items()}
    late = _late(vms, done_at)
    last = _last_end() - max(done_at.values())
    rounds = rounds_of(runs, log)
    asking = max(asked.values()) - began
    ending = _last_end() - began
    stack.end(worker)

    url = stack.simulator()
    # The token is asked for after this and outlives the jump, so that only the looking is measured.
    control_api(url, "POST", "clock", {"action_seconds": NEVER, "token_seconds": 10 * NEVER})
    vms = seeded_vms(url, "poll at one moment", SERVERS, status="SHUTOFF")
    worker = stack.worker("jobs,polling", concurrency=2, include=include)
    _start(vms, url)
    _until_all_watched()
    time.sleep(UNTIL_LOOKS_ARE_RARE)
    jumped = time.time()
    control_api(url, "POST", "clock", {"advance_seconds": NEVER})
    until_all_ended()
    sudden_rounds = rounds_of(runs_of(broker), control_api(url, "GET", "requests")["requests"])
    sudden = _late(vms, dict.fromkeys((str(vm.openstack_id) for vm in vms), jumped))
    stack.end(worker)

    return [
        _most("list calls a round, at most", [*rounds, *sudden_rounds], "list", 2),
        Figure("last job ended after the cloud was done", f"{last:.2f} s", "2 s", last, 2, "at most"),
        Note("each job ended after its server was done, p50", f"{percentile(late, 0.5):.2f} s", percentile(late, 0.5)),
        Note("the same, p99", f"{percentile(late, 0.99):.2f} s", percentile(late, 0.99)),
        Note("the same, the latest", f"{max(late):.2f} s", max(late)),
        *_rounds_told("rounds", rounds),
        Note("from the submit to the last server asked", f"{asking:.1f} s", asking),
        Note("from the submit to the last job's end", f"{ending:.1f} s", ending),
        Note("all done at one moment: p50", f"{percentile(sudden, 0.5):.2f} s", percentile(sudden, 0.5)),
        Note("all done at one moment: the latest", f"{max(sudden):.2f} s", max(sudden)),
        *_rounds_told("all done at one moment: rounds", sudden_rounds),
    ]  # fmt: skip


def _start(vms: Sequence[VirtualMachine], url: str) -> float:
    """Submit a start of every VM, all in one transaction, and forget the simulator's log before; when that was."""
    from django.db import transaction

    from tasks import engine
    from vms.commands.power import POWER_COMMANDS

    specs = []
    for vm in vms:
        command = POWER_COMMANDS["start"](str(vm.pk))
        command.vm = vm
        specs.append(engine.Spec(command, vm.information_system.tenant))
    control_api(url, "DELETE", "requests")
    began = time.time()
    with transaction.atomic():
        answers = engine.submit_many(specs)
    assert all(answer.job is not None and not answer.joined for answer in answers)
    return began


def _asked_at(log: Sequence[dict[str, Any]]) -> dict[str, float]:
    """When the cloud accepted the start of each server, which must have been once.

    The log notes when a request came in, a little before the cloud begins to count: what is measured from it is never
    better than the truth.
    """
    accepted = [entry for entry in log if entry["action"] == "os-start" and entry["accepted"]]
    asked = {entry["object"]: entry["time"] for entry in accepted}
    assert len(accepted) == len(asked) == SERVERS, (len(accepted), len(asked))
    return asked


def _late(vms: Sequence[VirtualMachine], done_at: dict[str, float]) -> list[float]:
    """Seconds from a server being done in the cloud to its job being over, for each VM."""
    from tasks.models import Job

    server_of = {str(vm.pk): str(vm.openstack_id) for vm in vms}
    jobs = Job.objects.filter(entity_id__in=server_of).values_list("entity_id", "status", "ended_at")
    ended = {server_of[vm]: (status, moment) for vm, status, moment in jobs}
    assert Counter(status for status, _moment in ended.values()) == {"succeeded": SERVERS}
    return [moment.timestamp() - done_at[server] for server, (_status, moment) in ended.items()]


def _last_end() -> float:
    from django.db.models import Max

    from tasks.models import Job

    return float(Job.objects.aggregate(last=Max("ended_at"))["last"].timestamp())


def _until_all_watched(seconds: float = 180) -> None:
    """Wait until every job waits for its server."""
    from tasks.models import AsyncTask

    until = time.monotonic() + seconds
    while AsyncTask.objects.filter(verdict="open").count() < SERVERS:
        if time.monotonic() > until:
            raise TimeoutError("Not every job has come to watch its server.")
        time.sleep(0.05)


def _most(what: str, rounds: Sequence[Counter[str]], kind: str, to_reach: int) -> Figure:
    most = max(asked[kind] for asked in rounds)
    return Figure(what, str(most), str(to_reach), most, to_reach, "at most")


def _rounds_told(what: str, rounds: Sequence[Counter[str]]) -> list[Note]:
    """The number of rounds, and how many of them asked what: "17 × 2 list + 3 get" and so on."""
    shapes = Counter((asked["list"], asked["get"]) for asked in rounds)
    gets = sum(asked["get"] for asked in rounds)
    told = ", ".join(f"{times}x {lists}+{gets}" for (lists, gets), times in shapes.most_common())
    print(f"  {what}, as list calls + single gets: {told}")
    return [
        Note(what, str(len(rounds)), len(rounds)),
        Note(
            f"{what}: list calls", str(sum(asked["list"] for asked in rounds)), sum(a["list"] for a in rounds)
        ),
        Note(f"{what}: single gets", str(gets), gets),
    ]
