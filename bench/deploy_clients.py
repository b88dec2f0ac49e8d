"""`python -m bench.deploy_clients`: the fifty operators of the benchmark `deploy`, with the portal's address and tokens.

The task is read as JSON from standard input, and the results are written as JSON to standard output. Nothing of Django is
imported: everything is requested and checked over REST, except for the versions that really run, which are read from the
files of the executor's program.
"""

from __future__ import annotations

import http.client
import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

HOSTS_EACH = 4
BATCH = 2
# While this file exists, the program waits on every host, so that all requests meet the locks of the first.
CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to an operator."""

    status: int
    body: Any
    seconds: float


class Operator:
    """A user with a token and a connection of its own."""

    def __init__(self, base: str, name: str, token: str) -> None:
        address = urlsplit(base)
        self.name = name
        self.headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}
        self.connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=120)

    def send(self, method: str, path: str, body: object = None, *, key: str = "") -> Answer:
        """Send one request, with an `Idempotency-Key` if one is given, and close the connection."""
        headers = {**self.headers, "Idempotency-Key": key} if key else self.headers
        began = time.perf_counter()
        self.connection.request(method, f"/api/v1/{path}", json.dumps(body) if body else None, headers)
        response = self.connection.getresponse()
        text = response.read()
        seconds = time.perf_counter() - began
        self.connection.close()
        return Answer(response.status, json.loads(text or "null"), seconds)

    def read(self, path: str) -> Any:
        """Return the answer at an address. Raises for anything but 200."""
        answer = self.send("GET", path)
        if answer.status != 200:
            raise RuntimeError(f"GET {path}: {answer.status} {answer.body}")
        return answer.body

    def read_all_pages(self, path: str) -> Iterator[Any]:
        """Return the rows of all pages of a list."""
        number, seen = 1, 0
        while True:
            page = self.read(f"{path}?page_size=200&page={number}")
            yield from page["results"]
            number, seen = number + 1, seen + len(page["results"])
            if seen >= page["count"]:
                return


@dataclass(frozen=True, slots=True)
class AcceptedDeployment:
    """A deployment that was accepted: its operator, version, instances and time."""

    id: str
    operator: str
    version: str
    created_at: str
    instances: frozenset[str]


@dataclass
class OperatorPool:
    """All operators, the service that they share, and the deployments and problems so far."""

    base: str
    service: str
    folder: Path
    operators: list[Operator]
    deployments: list[AcceptedDeployment] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    # Instances that were given to several deployments at once, which the locks have to prevent.
    shared: int = 0

    def __post_init__(self) -> None:
        self.versions = {
            row["label"]: row["id"]
            for row in self.reader.read_all_pages(f"services/{self.service}/versions/")
        }
        self.initial_versions = {row["id"]: row["version"] for row in self.read_instances()}

    @property
    def reader(self) -> Operator:
        """Return the operator that reads lists."""
        return self.operators[0]

    def read_instances(self) -> list[dict[str, Any]]:
        """Return the instances as the portal lists them."""
        return list(self.reader.read_all_pages(f"services/{self.service}/instances/"))

    def check(self, holds: object, problem: str) -> None:
        """Record a problem unless the condition holds."""
        if not holds:
            self.problems.append(problem)

    def request_upgrade(
        self, operator: Operator, before: str, after: str, hosts: object, *, key: str = ""
    ) -> Answer:
        """Request an upgrade, as one operator."""
        path = f"services/{self.service}/versions/{self.versions[before]}/upgrade/"
        body = {"dest_version": self.versions[after], "hosts": hosts, "strategy": {"batch": BATCH}}
        return operator.send("POST", path, body, key=key)

    def record_accepted(self, operator: Operator, after: str, answer: Answer) -> AcceptedDeployment:
        """Record the deployment of an answer 202."""
        body = answer.body["deployment"]
        planned = {one["instance"] for batch in answer.body["plan"]["batches"] for one in batch}
        deployment = AcceptedDeployment(
            body["id"], operator.name, after, body["created_at"], frozenset(planned)
        )
        self.deployments.append(deployment)
        return deployment

    def wait_until_ended(self, deployments: Sequence[AcceptedDeployment], seconds: float = 300) -> None:
        """Wait until each deployment has ended, with the version on all of its hosts."""
        deadline = time.monotonic() + seconds
        for deployment in deployments:
            while (current := self.reader.read(f"deployments/{deployment.id}/"))["running"]:
                if time.monotonic() > deadline:
                    self.problems.append(f"{deployment.id} has not ended after {seconds:.0f} s")
                    return
                time.sleep(0.1)
            succeeded = current["counts"].get("succeeded", 0)
            self.check(
                succeeded == len(deployment.instances), f"{deployment.id} ended with {current['counts']}"
            )

    def unify_versions(self, after: str) -> None:
        """Deploy one version to every host: one request for each version that runs on a host."""
        running = sorted({row["version"] for row in self.read_instances()} - {after})
        deployments = []
        for before in running:
            answer = self.request_upgrade(self.reader, before, after, "all")
            self.check(answer.status == 202, f"unifying {before}: {answer.status} {answer.body}")
            if answer.status == 202:
                deployments.append(self.record_accepted(self.reader, after, answer))
        self.wait_until_ended(deployments)

    def compete(self, number: int, dice: random.Random) -> None:
        """Send all requests at the same moment, each for another version and some of the hosts; check the results."""
        before = f"{number}.0"
        hosts = sorted(row["host_id"] for row in self.read_instances())
        selections = [dice.sample(hosts, HOSTS_EACH) for _ in self.operators]
        closed = self.folder / CLOSED
        closed.touch()
        barrier = threading.Barrier(len(self.operators))

        def send(position: int) -> Answer:
            operator = self.operators[position]
            operator.read("services/?page_size=1")
            operator.connection.connect()
            barrier.wait(120)
            after = f"{number}.{position + 1}"
            # With a key, the portal's transaction begins before it validates the request. Every second request has one.
            return self.request_upgrade(
                operator, before, after, selections[position], key=after if position % 2 else ""
            )

        with ThreadPoolExecutor(len(self.operators)) as executor:
            answers = list(executor.map(send, range(len(self.operators))))
        closed.unlink()
        self.seconds += [answer.seconds for answer in answers]
        deployments, refused = [], []
        for position, answer in enumerate(answers):
            code = answer.body.get("code", "") if isinstance(answer.body, dict) else ""
            self.statuses[f"{answer.status} {code}".strip()] += 1
            if answer.status == 202:
                deployments.append(
                    self.record_accepted(self.operators[position], f"{number}.{position + 1}", answer)
                )
            elif (answer.status, code) == (409, "locked"):
                refused.append(answer)
            else:
                self.problems.append(f"round {number}: {answer.status} {answer.body}")
        self._check_answers(number, deployments, refused)
        self.wait_until_ended(deployments)
        self._check_hosts(number)

    def _check_answers(
        self, number: int, deployments: Sequence[AcceptedDeployment], refused: Sequence[Answer]
    ) -> None:
        """Check that no host has two deployments, and that each refusal names the right deployment, operator and time."""
        self.check(deployments, f"round {number}: no request was accepted")
        counts = Counter(instance for deployment in deployments for instance in deployment.instances)
        self.shared += sum(times > 1 for times in counts.values())
        for instance, times in counts.items():
            self.check(times == 1, f"round {number}: {instance} was given to {times} deployments at once")
        by_id = {deployment.id: deployment for deployment in deployments}
        for answer in refused:
            held = answer.body.get("instances", [])
            self.check(held, f"round {number}: a refusal names no instance")
            for one in held:
                holder = by_id.get(one.get("deployment", ""))
                is_right = holder and (
                    one["instance"] in holder.instances
                    and one["operator"] == holder.operator
                    and one["since"][:19] == holder.created_at[:19]
                )
                self.check(
                    is_right, f"round {number}: a refusal names {one}, which was given to no deployment"
                )

    def _check_hosts(self, number: int) -> None:
        """Check that each host runs its last accepted version, in the portal and really, with a complete history."""
        calls = Counter((self.folder / "calls").read_text().splitlines())
        wanted: Counter[str] = Counter()
        for row in self.read_instances():
            name = row["host"].partition(":")[0]
            mine = [deployment for deployment in self.deployments if row["id"] in deployment.instances]
            wanted.update(f"{name} {deployment.version}" for deployment in mine)
            last = mine[-1].version if mine else self.initial_versions[row["id"]]
            really = (self.folder / f"runs-{name}").read_text().split()
            self.check(
                really == [row["version"]] == [last],
                f"round {number}: {name} runs {really}, recorded {row['version']}, accepted {last}",
            )
            free = not row["locked"] and row["locked_by"] is None and row["status"] == "running"
            self.check(free, f"round {number}: {name} is {row['status']}, held by {row['locked_by']}")
            self.check(
                not mine or row["updated_by"] == mine[-1].operator,
                f"round {number}: {name} was changed by {row['updated_by']}, accepted was {mine[-1:]}",
            )
            self._check_history(f"round {number}: {name}", row["id"], mine)
        self.check(calls == wanted, f"round {number}: the program was called {calls - wanted} too often")

    def _check_history(self, where: str, instance: str, mine: Sequence[AcceptedDeployment]) -> None:
        history = list(self.reader.read_all_pages(f"services/{self.service}/instances/{instance}/history/"))[
            ::-1
        ]
        recorded = [
            (one["deployment"], one["operator"], one["to_version_label"], one["created_at"])
            for one in history
        ]
        expected = [(one.id, one.operator, one.version, one.created_at) for one in mine]
        self.check(recorded == expected, f"{where}: its history is {recorded}, expected {expected}")
        began = self.initial_versions[instance]
        versions = [began, *(one["to_version_label"] for one in history)]
        self.check(
            [one["from_version_label"] for one in history] == versions[:-1], f"{where}: a gap in its history"
        )
        self.check(
            all(one["result"] == "succeeded" and one["started_at"] and one["ended_at"] for one in history),
            f"{where}: something in its history has not succeeded",
        )
        for one, after in pairwise(history):
            in_turn = one["ended_at"] and after["started_at"] and one["ended_at"] <= after["started_at"]
            self.check(in_turn, f"{where}: {one['deployment']} and {after['deployment']} at once")

    def count_changes(self) -> list[int]:
        """Return how often each host was changed."""
        return [
            sum(key in deployment.instances for deployment in self.deployments)
            for key in self.initial_versions
        ]


def main(task: Mapping[str, Any]) -> dict[str, Any]:
    """Run the rounds, with one version deployed to every host between them, and return the results."""
    operators = [Operator(task["base"], name, token) for name, token in task["operators"].items()]
    pool = OperatorPool(task["base"], task["service"], Path(task["folder"]), operators)
    for number in range(1, task["rounds"] + 1):
        if number > 1:
            pool.unify_versions(f"{number}.0")
        pool.compete(number, random.Random(task["seed"] + number))
    return {
        "seconds": pool.seconds,
        "statuses": pool.statuses,
        "changes": pool.count_changes(),
        "shared": pool.shared,
        "problems": pool.problems,
    }


if __name__ == "__main__":
    print(json.dumps(main(json.load(sys.stdin))))
