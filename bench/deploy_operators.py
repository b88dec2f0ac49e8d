"""Fifty operators who want different versions on overlapping hosts at once, over REST: a part of the benchmark `deploy`.

The portal's own web server and workers serve them, on the durable PostgreSQL; the operators are a process that knows
nothing but an address and tokens (`deploy_clients`). The same once more without locks shows that the check can fail.

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
from .deploy_service import make_service
from .figures import Figure, Line, Note, percentile, show
from .stack import REPOSITORY, Stack

OPERATORS = 50
HOSTS = 12
ROUNDS = 5
SEED = 1
# Keeps in files what runs where and what it was called with, and waits as long as it is told to.
PROGRAM = f"""\
cd "$0" || exit 1
while [ -e {CLOSED} ]; do sleep 0.1; done
echo "$PORTAL_HOST $PORTAL_VERSION" >>calls
echo "$PORTAL_VERSION" >"new-$PORTAL_HOST.$$" && mv "new-$PORTAL_HOST.$$" "runs-$PORTAL_HOST"
"""


def programs(stack: Stack) -> dict[str, list[str]]:
    """The programs of the installation that this part needs, for `DEPLOY_PROGRAMS`."""
    return {name: ["/bin/sh", "-c", PROGRAM, str(stack.folder / name)] for name in ("locked", "unlocked")}


def operators(stack: Stack, seed: int = SEED) -> list[Line]:
    """What was told, what is wrong afterwards, how long they waited for locks; and what is wrong without locks."""
    worker = stack.worker("deploys", concurrency=2, include="deploys.commands")
    asked = _asked(stack, "locked", ROUNDS, seed)
    with _served(stack, "portal.wsgi") as base, LockWatch(stack.folder / "postgres.log") as watch:
        seen = _clients({**asked, "base": base})
    asked = _asked(stack, "unlocked", 1, seed)
    with _served(stack, "bench.deploy_without_locks:application") as base:
        unlocked = _clients({**asked, "base": base})
    stack.end(worker)
    for wrong in seen["wrong"][:20]:
        print(f"  WRONG: {wrong}")
    return [*_told(seen), *_waited(watch), *_without(unlocked)]


def _told(seen: dict[str, Any]) -> list[Line]:
    who = f"{OPERATORS} operators, {ROUNDS} times"
    milliseconds = [seconds * 1000 for seconds in seen["seconds"]]
    lines: list[Line] = [
        Note(f"{who}: answers {status}", str(count), count)
        for status, count in sorted(seen["statuses"].items())
    ]
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        value = percentile(milliseconds, share)
        lines.append(Note(f"{who}: an answer, {name}", f"{value:.0f} ms", value))
    fewest = min(seen["changes"])
    return [
        *lines,
        Note("changes of a host, at least", str(fewest), fewest),
        Figure(f"{who}: what is wrong", str(len(seen["wrong"])), "0", len(seen["wrong"]), 0, "at most"),
    ]


def _waited(watch: LockWatch) -> list[Line]:
    sampled, told = watch.over_the_limit()
    between = watch.between_looks()
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
        Note("waits over 100 ms, by the server's log", str(told), told),
        Note(
            "all waits of one transaction, the most",
            f"{watch.longest_together():.0f} ms",
            watch.longest_together(),
        ),
        Note("between two looks, p50 and p99", f"{between[0]:.1f}, {between[1]:.1f} ms", between[1]),
    ]
    if longest := watch.longest:
        lines.append(Note(f"the longest, by samples: {longest.statement}", longest.what, longest.ms))
    return [
        *lines,
        *(
            Note(f"{statement}, behind", f"{holder}: {ms:.0f} ms", ms)
            for ms, statement, holder in watch.most_blamed(3)
        ),
    ]


def _without(unlocked: dict[str, Any]) -> list[Line]:
    shared, wrong = unlocked["shared"], len(unlocked["wrong"])
    return [
        Figure("without locks: hosts promised to several", str(shared), "1", shared, 1, "at least"),
        Note("without locks: what is wrong", str(wrong), wrong),
    ]


@contextmanager
def _served(stack: Stack, module: str) -> Iterator[str]:
    """The portal's web server, and its address."""
    before = len(stack.running)
    base = stack.web(module=module)
    try:
        yield base
    finally:
        stack.end(stack.running[before])


def _clients(asked: dict[str, Any]) -> dict[str, Any]:
    """Have the operators do it, in a process of their own; what they saw."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.deploy_clients"],
        cwd=REPOSITORY,
        input=json.dumps(asked),
        stdout=subprocess.PIPE,
        text=True,
        timeout=1800,
        check=True,
    )
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def _asked(stack: Stack, program: str, rounds: int, seed: int) -> dict[str, Any]:
    """A service on its hosts, with versions enough for all, and operators with tokens; what the operators are to know."""
    from api.models import ApiToken
    from deploys.models import Host
    from tenants.models import Membership, User
    from tenants.scoping import Role

    labels = [f"{turn}.{n}" for turn in range(1, rounds + 1) for n in range(OPERATORS + 1)]
    service = make_service(f"operators-{program}", labels=labels, hosts=HOSTS, program=program)
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
    """Measure the operators alone, on servers of their own."""
    stack = Stack()
    try:
        os.environ["DEPLOY_PROGRAMS"] = json.dumps(programs(stack))
        show("deploy: operators", operators(stack, seed))
    finally:
        stack.stop()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else SEED)
