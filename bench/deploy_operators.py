"""Fifty operators that request different versions on overlapping hosts at once, over REST: a part of the benchmark `deploy`.

The portal's own web server and workers serve them, on the durable PostgreSQL. The operators are a process that has only an
address and tokens (`deploy_clients`). One more run without locks shows that the checks can fail.

`python -m bench.deploy_operators [SEED]` runs this part alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .deploy_clients import CLOSED
from .deploy_locks import LIMIT_MS, LockWatch
from .deploy_service import create_service
from .figures import Figure, Line, Note, percentile, print_lines
from .stack import REPOSITORY, Stack

OPERATORS = 50
HOSTS = 12
ROUNDS = 5
SEED = 1
# The program of the executor: it waits while the file CLOSED exists, and records its calls and the version of each host.
PROGRAM = f"""\
cd "$0" || exit 1
while [ -e {CLOSED} ]; do sleep 0.1; done
echo "$PORTAL_HOST $PORTAL_VERSION" >>calls
echo "$PORTAL_VERSION" >"new-$PORTAL_HOST.$$" && mv "new-$PORTAL_HOST.$$" "runs-$PORTAL_HOST"
"""


def get_programs(stack: Stack) -> dict[str, list[str]]:
    """Return the programs of the executor for `DEPLOY_PROGRAMS`."""
    return {name: ["/bin/sh", "-c", PROGRAM, str(stack.folder / name)] for name in ("locked", "unlocked")}


def measure_operators(stack: Stack, seed: int = SEED) -> list[Line]:
    """Measure answers and waits for locks, count what is wrong afterwards, and what is wrong without locks."""
    worker = stack.start_worker("deploys", concurrency=2, include="deploys.commands")
    task = _create_task(stack, "locked", ROUNDS, seed)
    with _serve(stack, "portal.wsgi") as base, LockWatch(stack.folder / "postgres.log") as watch:
        seen = _run_clients({**task, "base": base})
    task = _create_task(stack, "unlocked", 1, seed)
    with _serve(stack, "bench.deploy_without_locks:application") as base:
        unlocked = _run_clients({**task, "base": base})
    stack.end(worker)
    for wrong in seen["problems"][:20]:
        print(f"  WRONG: {wrong}")
    return [*_summarize_answers(seen), *_summarize_waits(watch), *_summarize_unlocked(unlocked)]


def _summarize_answers(seen: dict[str, Any]) -> list[Line]:
    load = f"{OPERATORS} operators, {ROUNDS} times"
    milliseconds = [seconds * 1000 for seconds in seen["seconds"]]
    lines: list[Line] = [
        Note(f"{load}: answers {status}", str(count), count)
        for status, count in sorted(seen["statuses"].items())
    ]
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        value = percentile(milliseconds, share)
        lines.append(Note(f"{load}: an answer, {name}", f"{value:.0f} ms", value))
    fewest = min(seen["changes"])
    return [
        *lines,
        Note("changes of a host, at least", str(fewest), fewest),
        Figure(
            f"{load}: what is wrong", str(len(seen["problems"])), "0", len(seen["problems"]), 0, "at most"
        ),
    ]


def _summarize_waits(watch: LockWatch) -> list[Line]:
    sampled, logged = watch.count_over_limit()
    between = watch.measure_sampling()
    lines: list[Line] = [
        Figure(
            "the longest wait for a lock",
            f"{watch.longest_ms:.0f} ms",
            f"{LIMIT_MS:.0f} ms",
            watch.longest_ms / LIMIT_MS,
            1,
            "at most",
        ),
        Note("waits seen", str(len(watch.waits)), len(watch.waits)),
        Note("waits over 100 ms, by samples", str(sampled), sampled),
        Note("waits over 100 ms, by the server's log", str(logged), logged),
        Note(
            "all waits of one transaction, the most",
            f"{watch.sum_longest_transaction():.0f} ms",
            watch.sum_longest_transaction(),
        ),
        Note("between two samples, p50 and p99", f"{between[0]:.1f}, {between[1]:.1f} ms", between[1]),
    ]
    if longest := watch.longest:
        lines.append(Note(f"the longest, by samples: {longest.statement}", longest.what, longest.ms))
    return [
        *lines,
        *(
            Note(f"{statement}, behind", f"{holder}: {ms:.0f} ms", ms)
            for ms, statement, holder in watch.find_worst_holders(3)
        ),
    ]


def _summarize_unlocked(unlocked: dict[str, Any]) -> list[Line]:
    shared, wrong = unlocked["shared"], len(unlocked["problems"])
    return [
        Figure("without locks: hosts given to several", str(shared), "1", shared, 1, "at least"),
        Note("without locks: what is wrong", str(wrong), wrong),
    ]


@contextmanager
def _serve(stack: Stack, module: str) -> Iterator[str]:
    """Serve the portal while the block runs, and give its address."""
    before = len(stack.running)
    base = stack.start_web(module=module)
    try:
        yield base
    finally:
        stack.end(stack.running[before])


def _run_clients(task: dict[str, Any]) -> dict[str, Any]:
    """Run the operators in a process of their own, and return their results."""
    result = subprocess.run(
        [sys.executable, "-m", "bench.deploy_clients"],
        cwd=REPOSITORY,
        input=json.dumps(task),
        stdout=subprocess.PIPE,
        text=True,
        timeout=1800,
        check=True,
    )
    seen: dict[str, Any] = json.loads(result.stdout)
    return seen


def _create_task(stack: Stack, program: str, rounds: int, seed: int) -> dict[str, Any]:
    """Create a service with a version for each operator, and operators with tokens; return the input of the clients."""
    from api.models import ApiToken
    from deploys.models import Host
    from tenants.models import Membership, User
    from tenants.scoping import Role

    labels = [f"{turn}.{n}" for turn in range(1, rounds + 1) for n in range(OPERATORS + 1)]
    service = create_service(f"operators-{program}", labels=labels, hosts=HOSTS, program=program)
    tenant = service.information_system.tenant
    folder = stack.folder / program
    folder.mkdir()
    for host in Host.objects.filter(tenant=tenant):
        (folder / f"runs-{host.hostname}").write_text(f"{labels[0]}\n")
    tokens = {}
    for number in range(OPERATORS):
        user = User.objects.create(username=f"{program}-{number}")
        Membership.objects.create(user=user, tenant=tenant, role=Role.OPERATOR)
        _token, tokens[user.username] = ApiToken.objects.create(user=user, name="bench", expiry=None)
    return {
        "service": str(service.pk),
        "folder": str(folder),
        "operators": tokens,
        "rounds": rounds,
        "seed": seed,
    }


def main(seed: int) -> None:
    """Run this part alone, on servers of its own."""
    stack = Stack()
    try:
        os.environ["DEPLOY_PROGRAMS"] = json.dumps(get_programs(stack))
        print_lines("deploy: operators", measure_operators(stack, seed))
    finally:
        stack.stop()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else SEED)
