"""1,000 servers starting at once: the requests of the poller, and how soon the portal knows that a server is active.

There are two runs. In the first, each start takes the cloud a fixed time, so the servers become active in the order and at
the pace of their requests; this run is compared with the limits.
In the second, the cloud's clock jumps when all starts have been requested and polls have become rare, so all 1,000 servers
become active at the same moment. This is the worst case.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import redis

from .cloud import call_control_api, create_vms
from .figures import Figure, Line, Note, percentile
from .stack import Stack
from .waiting import wait_until_all_ended

if TYPE_CHECKING:
    from vms.models import VirtualMachine

SERVERS = 1000
ACTION_SECONDS = 10.0
# After this time a server is polled as rarely as possible (0.2 s, doubled up to 10 s).
RARE_POLLS_AFTER_SECONDS = 22.0
NEVER = 100_000.0


def measure_polling(stack: Stack) -> list[Line]:
    """Measure the requests of a round, and the time from the end of an action in the cloud to the end of its job."""
    from django.conf import settings

    from .rounds import count_requests_by_round, read_poller_runs

    broker = redis.Redis.from_url(settings.REDIS_URL)
    include = "bench.commands,bench.rounds"

    url = stack.start_simulator()
    vms = create_vms(url, "poll", SERVERS, status="SHUTOFF")
    worker = stack.start_worker("jobs,polling", concurrency=2, include=include)
    call_control_api(url, "POST", "clock", {"action_seconds": ACTION_SECONDS})
    began = _submit_starts(vms, url)
    wait_until_all_ended()
    runs, log = read_poller_runs(broker), call_control_api(url, "GET", "requests")["requests"]
    asked = _read_accept_times(log)
    done_at = {server: accepted_at + ACTION_SECONDS for server, accepted_at in asked.items()}
    late = _measure_delays(vms, done_at)
    last = _last_end() - max(done_at.values())
    rounds = count_requests_by_round(runs, log)
    asking = max(asked.values()) - began
    ending = _last_end() - began
    stack.end(worker)

    url = stack.start_simulator()
    # The token is issued after this and survives the jump, so that only the polling is measured.
    call_control_api(url, "POST", "clock", {"action_seconds": NEVER, "token_seconds": 10 * NEVER})
    vms = create_vms(url, "poll at one moment", SERVERS, status="SHUTOFF")
    worker = stack.start_worker("jobs,polling", concurrency=2, include=include)
    _submit_starts(vms, url)
    _until_all_watched()
    time.sleep(RARE_POLLS_AFTER_SECONDS)
    jumped = time.time()
    call_control_api(url, "POST", "clock", {"advance_seconds": NEVER})
    wait_until_all_ended()
    sudden_rounds = count_requests_by_round(
        read_poller_runs(broker), call_control_api(url, "GET", "requests")["requests"]
    )
    sudden = _measure_delays(vms, dict.fromkeys((str(vm.openstack_id) for vm in vms), jumped))
    stack.end(worker)

    return [
        _find_maximum("list calls a round, at most", [*rounds, *sudden_rounds], "list", 2),
        Figure("last job ended after the cloud was done", f"{last:.2f} s", "2 s", last, 2, "at most"),
        Note("each job ended after its server was done, p50", f"{percentile(late, 0.5):.2f} s", percentile(late, 0.5)),
        Note("the same, p99", f"{percentile(late, 0.99):.2f} s", percentile(late, 0.99)),
        Note("the same, the latest", f"{max(late):.2f} s", max(late)),
        *_summarize_rounds("rounds", rounds),
        Note("from the submit to the last server asked", f"{asking:.1f} s", asking),
        Note("from the submit to the last job's end", f"{ending:.1f} s", ending),
        Note("all done at one moment: p50", f"{percentile(sudden, 0.5):.2f} s", percentile(sudden, 0.5)),
        Note("all done at one moment: the latest", f"{max(sudden):.2f} s", max(sudden)),
        *_summarize_rounds("all done at one moment: rounds", sudden_rounds),
    ]  # fmt: skip


def _submit_starts(vms: Sequence[VirtualMachine], url: str) -> float:
    """Empty the simulator's log, submit a start of every VM in one transaction, and return the time of that."""
    from django.db import transaction

    from tasks import engine
    from vms.commands.power import POWER_COMMANDS

    specs = []
    for vm in vms:
        command = POWER_COMMANDS["start"](str(vm.pk))
        command.vm = vm
        specs.append(engine.Spec(command, vm.information_system.tenant))
    call_control_api(url, "DELETE", "requests")
    began = time.time()
    with transaction.atomic():
        answers = engine.submit_many(specs)
    assert all(answer.job is not None and not answer.joined for answer in answers)
    return began


def _read_accept_times(log: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the time at which the cloud accepted the start of each server, and check that it did so once.

    The log has the time at which a request arrived, a little before the action begins, so a duration that is measured from
    it is never too short.
    """
    accepted = [entry for entry in log if entry["action"] == "os-start" and entry["accepted"]]
    asked = {entry["object"]: entry["time"] for entry in accepted}
    assert len(accepted) == len(asked) == SERVERS, (len(accepted), len(asked))
    return asked


def _measure_delays(vms: Sequence[VirtualMachine], done_at: dict[str, float]) -> list[float]:
    """Return the seconds from the end of the action in the cloud to the end of the job, for each VM."""
    from tasks.models import Job

    server_of = {str(vm.pk): str(vm.openstack_id) for vm in vms}
    jobs = Job.objects.filter(entity_id__in=server_of).values_list("entity_id", "status", "ended_at")
    ended = {server_of[vm]: (status, ended_at) for vm, status, ended_at in jobs}
    assert Counter(status for status, _ended_at in ended.values()) == {"succeeded": SERVERS}
    return [ended_at.timestamp() - done_at[server] for server, (_status, ended_at) in ended.items()]


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


def _find_maximum(what: str, rounds: Sequence[Counter[str]], kind: str, to_reach: int) -> Figure:
    most = max(asked[kind] for asked in rounds)
    return Figure(what, str(most), str(to_reach), most, to_reach, "at most")


def _summarize_rounds(what: str, rounds: Sequence[Counter[str]]) -> list[Note]:
    """Return the number of rounds, and print how many of them sent which requests."""
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
