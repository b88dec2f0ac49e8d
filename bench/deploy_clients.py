"""`python -m bench.deploy_clients`: fifty operators of the benchmark `deploy`, who know the portal's address and their tokens.

What to do comes as JSON on standard input, what was seen goes as JSON to standard output. Nothing of Django is imported:
all that is asked and all that is checked goes over REST, but for what really runs, which is read from the files of the
program that the executor starts.
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
# While this file is there, the program waits on every host: the crowd is told who holds what, not that it has ended.
CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to an operator."""

    status: int
    body: Any
    seconds: float


class Operator:
    """A person with a token, on a connection of his own."""

    def __init__(self, base: str, name: str, token: str) -> None:
        address = urlsplit(base)
        self.name = name
        self.headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}
        self.connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=120)

    def ask(self, method: str, path: str, body: object = None, *, key: str = "") -> Answer:
        """One request, with an `Idempotency-Key` if there is one. It closes its connection, as the server would soon."""
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
        answer = self.ask("GET", path)
        if answer.status != 200:
            raise RuntimeError(f"GET {path}: {answer.status} {answer.body}")
        return answer.body

    def pages(self, path: str) -> Iterator[Any]:
        """Every row of a list."""
        number, seen = 1, 0
        while True:
            page = self.read(f"{path}?page_size=200&page={number}")
            yield from page["results"]
            number, seen = number + 1, seen + len(page["results"])
            if seen >= page["count"]:
                return


@dataclass(frozen=True, slots=True)
class Promise:
    """A deployment that was accepted: whose, of which version, on which instances, recorded when."""

    id: str
    operator: str
    version: str
    created_at: str
    instances: frozenset[str]


@dataclass
class Crowd:
    """All operators, the service that they share, and what was promised and refused so far."""

    base: str
    service: str
    folder: Path
    operators: list[Operator]
    promises: list[Promise] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    # Promised to more than one at once: what the locks are for.
    shared: int = 0

    def __post_init__(self) -> None:
        self.versions = {
            row["label"]: row["id"] for row in self.anybody.pages(f"services/{self.service}/versions/")
        }
        self.began_with = {row["id"]: row["version"] for row in self.instances()}

    @property
    def anybody(self) -> Operator:
        """A reader of pages."""
        return self.operators[0]

    def instances(self) -> list[dict[str, Any]]:
        """The instances as the portal shows them."""
        return list(self.anybody.pages(f"services/{self.service}/instances/"))

    def expect(self, holds: object, what: str) -> None:
        """Note what does not hold."""
        if not holds:
            self.wrong.append(what)

    def order(self, who: Operator, before: str, after: str, hosts: object, *, key: str = "") -> Answer:
        """One operator asks for an upgrade."""
        path = f"services/{self.service}/versions/{self.versions[before]}/upgrade/"
        wish = {"dest_version": self.versions[after], "hosts": hosts, "strategy": {"batch": BATCH}}
        return who.ask("POST", path, wish, key=key)

    def accepted(self, who: Operator, after: str, answer: Answer) -> Promise:
        """Keep what a 202 promises."""
        deployment = answer.body["deployment"]
        planned = {one["instance"] for batch in answer.body["plan"]["batches"] for one in batch}
        promise = Promise(deployment["id"], who.name, after, deployment["created_at"], frozenset(planned))
        self.promises.append(promise)
        return promise

    def until_ended(self, promises: Sequence[Promise], seconds: float = 300) -> None:
        """Wait until each deployment has ended, with the version on all of its hosts."""
        until = time.monotonic() + seconds
        for promise in promises:
            while (shown := self.anybody.read(f"deployments/{promise.id}/"))["running"]:
                if time.monotonic() > until:
                    self.wrong.append(f"{promise.id} has not ended after {seconds:.0f} s")
                    return
                time.sleep(0.1)
            succeeded = shown["counts"].get("succeeded", 0)
            self.expect(succeeded == len(promise.instances), f"{promise.id} ended with {shown['counts']}")

    def gather(self, after: str) -> None:
        """Bring every host to one version from what it runs: one order for each version that runs somewhere."""
        running = sorted({row["version"] for row in self.instances()} - {after})
        promises = []
        for before in running:
            answer = self.order(self.anybody, before, after, "all")
            self.expect(answer.status == 202, f"gathering {before}: {answer.status} {answer.body}")
            if answer.status == 202:
                promises.append(self.accepted(self.anybody, after, answer))
        self.until_ended(promises)

    def compete(self, number: int, chance: random.Random) -> None:
        """All at the same moment, each with a version of his own and some of the hosts; then wait for the end."""
        before = f"{number}.0"
        hosts = sorted(row["host_id"] for row in self.instances())
        wishes = [chance.sample(hosts, HOSTS_EACH) for _ in self.operators]
        closed = self.folder / CLOSED
        closed.touch()
        together = threading.Barrier(len(self.operators))

        def ask(position: int) -> Answer:
            who = self.operators[position]
            who.read("services/?page_size=1")
            who.connection.connect()
            together.wait(120)
            after = f"{number}.{position + 1}"
            # With a key, the portal's transaction begins before the order is looked at: every other one has one.
            return self.order(who, before, after, wishes[position], key=after if position % 2 else "")

        with ThreadPoolExecutor(len(self.operators)) as people:
            answers = list(people.map(ask, range(len(self.operators))))
        closed.unlink()
        self.seconds += [answer.seconds for answer in answers]
        promises, refused = [], []
        for position, answer in enumerate(answers):
            code = answer.body.get("code", "") if isinstance(answer.body, dict) else ""
            self.statuses[f"{answer.status} {code}".strip()] += 1
            if answer.status == 202:
                promises.append(self.accepted(self.operators[position], f"{number}.{position + 1}", answer))
            elif (answer.status, code) == (409, "locked"):
                refused.append(answer)
            else:
                self.wrong.append(f"round {number}: {answer.status} {answer.body}")
        self._judge_answers(number, promises, refused)
        self.until_ended(promises)
        self._judge_hosts(number)

    def _judge_answers(self, number: int, promises: Sequence[Promise], refused: Sequence[Answer]) -> None:
        """Nobody shares a host, and who was refused was told by whom and since when."""
        self.expect(promises, f"round {number}: nobody was accepted")
        took = Counter(instance for promise in promises for instance in promise.instances)
        self.shared += sum(times > 1 for times in took.values())
        for instance, times in took.items():
            self.expect(times == 1, f"round {number}: {instance} was promised to {times} at once")
        by_id = {promise.id: promise for promise in promises}
        for answer in refused:
            held = answer.body.get("instances", [])
            self.expect(held, f"round {number}: a refusal names no instance")
            for one in held:
                holder = by_id.get(one.get("deployment", ""))
                told = holder and (
                    one["instance"] in holder.instances
                    and one["operator"] == holder.operator
                    and one["since"][:19] == holder.created_at[:19]
                )
                self.expect(told, f"round {number}: a refusal says {one}, which nobody was promised")

    def _judge_hosts(self, number: int) -> None:
        """Each host runs what was promised last, in the portal and really; its history tells the whole way there."""
        calls = Counter((self.folder / "calls").read_text().splitlines())
        wanted: Counter[str] = Counter()
        for row in self.instances():
            name = row["host"].partition(":")[0]
            mine = [promise for promise in self.promises if row["id"] in promise.instances]
            wanted.update(f"{name} {promise.version}" for promise in mine)
            last = mine[-1].version if mine else self.began_with[row["id"]]
            really = (self.folder / f"runs-{name}").read_text().split()
            self.expect(
                really == [row["version"]] == [last],
                f"round {number}: {name} runs {really}, recorded {row['version']}, promised {last}",
            )
            free = not row["locked"] and row["locked_by"] is None and row["status"] == "running"
            self.expect(free, f"round {number}: {name} is {row['status']}, held by {row['locked_by']}")
            self.expect(
                not mine or row["updated_by"] == mine[-1].operator,
                f"round {number}: {name} was changed by {row['updated_by']}, promised to {mine[-1:]}",
            )
            self._judge_history(f"round {number}: {name}", row["id"], mine)
        self.expect(calls == wanted, f"round {number}: the program was called {calls - wanted} too often")

    def _judge_history(self, where: str, instance: str, mine: Sequence[Promise]) -> None:
        told = list(self.anybody.pages(f"services/{self.service}/instances/{instance}/history/"))[::-1]
        said = [
            (one["deployment"], one["operator"], one["to_version_label"], one["created_at"]) for one in told
        ]
        meant = [(one.id, one.operator, one.version, one.created_at) for one in mine]
        self.expect(said == meant, f"{where}: its history is {said}, promised {meant}")
        began = self.began_with[instance]
        versions = [began, *(one["to_version_label"] for one in told)]
        self.expect(
            [one["from_version_label"] for one in told] == versions[:-1], f"{where}: a gap in its history"
        )
        self.expect(
            all(one["result"] == "succeeded" and one["started_at"] and one["ended_at"] for one in told),
            f"{where}: something in its history has not succeeded",
        )
        for one, after in pairwise(told):
            in_turn = one["ended_at"] and after["started_at"] and one["ended_at"] <= after["started_at"]
            self.expect(in_turn, f"{where}: {one['deployment']} and {after['deployment']} at once")

    def changes(self) -> list[int]:
        """How often each host was changed."""
        return [sum(key in promise.instances for promise in self.promises) for key in self.began_with]


def main(asked: Mapping[str, Any]) -> dict[str, Any]:
    """So many rounds; in between, the hosts are brought to one version again, from what each runs."""
    operators = [Operator(asked["base"], name, token) for name, token in asked["operators"].items()]
    crowd = Crowd(asked["base"], asked["service"], Path(asked["folder"]), operators)
    for number in range(1, asked["rounds"] + 1):
        if number > 1:
            crowd.gather(f"{number}.0")
        crowd.compete(number, random.Random(asked["seed"] + number))
    return {
        "seconds": crowd.seconds,
        "statuses": crowd.statuses,
        "changes": crowd.changes(),
        "shared": crowd.shared,
        "wrong": crowd.wrong,
    }


if __name__ == "__main__":
    print(json.dumps(main(json.load(sys.stdin))))
