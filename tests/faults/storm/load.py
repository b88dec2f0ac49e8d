"""The people: they look at a VM, ask for what it allows, and sometimes change their minds."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import requests

from .plan import Plan, Wish
from .scene import Scene

TIMEOUT_SECONDS = 20
# How long a click under a key is repeated until it is answered. Longer than anything stays away.
PATIENCE_SECONDS = 240
OF_A_BUSY_VM_CANCEL = 0.25
OF_A_BUSY_VM_CLICK = 0.45
ANY_ACTION = ("start", "stop", "restart")


@dataclass
class Click:
    """One wish for an action on a VM. Without a key it is sent once; under a key until it is answered."""

    name: str
    vm: str
    action: str
    hard: bool
    key: str | None
    tries: int = 0
    # The answer that settled it; 0 when there was none, and nobody knows whether it was accepted.
    status: int = 0
    code: str = ""
    changed: bool = False
    # Every job that any answer to this click named, and every answer that said yes: status, `changed`, job.
    jobs: set[str] = field(default_factory=set)
    accepted: set[tuple[int, bool, str]] = field(default_factory=set)
    replayed: bool = False


@dataclass
class Cancelling:
    """One request that a job be cancelled; sent once."""

    job: str
    status: int = 0


class Person(threading.Thread):
    """One user at one browser, who goes on until `stopping` is set and everything that has a key is answered."""

    def __init__(self, number: int, plan: Plan, scene: Scene, base: str, stopping: threading.Event) -> None:
        super().__init__(name=f"person-{number}", daemon=True)
        self.number, self.plan, self.scene, self.base = number, plan, scene, base
        self.stopping = stopping
        self.clicks: list[Click] = []
        self.cancellings: list[Cancelling] = []
        self.problems: list[str] = []
        self.looks_failed = 0
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Token {scene.tokens[number]}"

    def run(self) -> None:
        """Wish after wish."""
        mean = self.plan.people / self.plan.clicks_per_second
        due = time.monotonic()
        for number, wish in enumerate(self.plan.wishes(self.number)):
            due += wish.pause * mean
            # A wish that was held up does not make the next ones come faster.
            due = max(due, time.monotonic() - mean)
            if self.stopping.wait(max(0.0, due - time.monotonic())):
                return
            try:
                self._follow(f"p{self.number}-{number}", wish)
            except Exception as error:  # noqa: BLE001 - a bug of ours is reported with the rest, not lost with the thread.
                self.problems.append(f"{self.name}: {error!r}")

    def _follow(self, name: str, wish: Wish) -> None:
        vm = self.scene.vms[wish.vm]
        answer, body = self._ask("GET", f"vms/{vm.id}/", name=name)
        if answer != 200:
            self.looks_failed += 1
        allowed = sorted(set(body.get("allowed_actions", ())) & set(ANY_ACTION))
        if answer != 200 and wish.keyed:
            # The page is an old one, and its button is pressed all the same.
            self._click(name, vm.id, ANY_ACTION[int(wish.action * 3)], wish)
        elif answer != 200:
            return
        elif allowed:
            self._click(name, vm.id, allowed[int(wish.action * len(allowed))], wish)
        elif wish.busy < OF_A_BUSY_VM_CANCEL:
            if body["current_job"]:
                self._cancel(name, body["current_job"]["id"])
        elif wish.busy < OF_A_BUSY_VM_CLICK:
            self._click(name, vm.id, ANY_ACTION[int(wish.action * 3)], wish)

    def _click(self, name: str, vm_id: str, action: str, wish: Wish) -> None:
        hard = wish.hard and action == "restart"
        click = Click(name, vm_id, action, hard, key=f"storm-{name}" if wish.keyed else None)
        self.clicks.append(click)
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            click.tries += 1
            status, body = self._ask(
                "POST",
                f"vms/{vm_id}/actions/",
                {"action": action, "hard": hard} if hard else {"action": action},
                name=f"{name}.{click.tries}",
                key=click.key,
            )
            if job := (body.get("job") if status in {200, 202} else None):
                click.jobs.add(job["id"])
            if status in {200, 202}:
                click.accepted.add((status, bool(body.get("changed")), job["id"] if job else ""))
            if click.key and click.tries == 1 and wish.answer_lost:
                # It was answered, perhaps, and the answer never came; what it said is remembered for the checks.
                time.sleep(wish.pause)
                continue
            if self._settles(status, body):
                click.status, click.code = status, body.get("code", "")
                click.changed = bool(body.get("changed"))
                click.replayed = bool(body.get("replayed"))
                return
            if click.key is None or time.monotonic() > until:
                return
            time.sleep(min(2.0, 0.2 * click.tries))

    @staticmethod
    def _settles(status: int, body: dict[str, Any]) -> bool:
        """Whether an answer says for certain what became of a click."""
        if status == 0 or status >= 500 or status == 429:
            return False
        # "busy" without a job is a lock that was not had in time; the twin under the key may yet be carried out.
        return status != 409 or (
            body.get("code") != "in_progress" and (body.get("code") != "busy" or "job" in body)
        )

    def _cancel(self, name: str, job_id: str) -> None:
        cancelling = Cancelling(job_id)
        self.cancellings.append(cancelling)
        cancelling.status, _body = self._ask("POST", f"jobs/{job_id}/cancel/", {}, name=name)

    def _ask(
        self, method: str, path: str, body: Any = None, *, name: str, key: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        """One request; status 0 when no answer came. Its id is the click's name, so a job tells which try made it."""
        headers = {"X-Request-ID": f"storm-{name}"}
        if key:
            headers["Idempotency-Key"] = key
        try:
            answer = self.session.request(
                method, f"{self.base}/api/v1/{path}", json=body, headers=headers, timeout=TIMEOUT_SECONDS
            )
            found = answer.json()
        except (requests.RequestException, ValueError):
            return 0, {}
        if answer.headers.get("Idempotent-Replayed"):
            found["replayed"] = True
        return answer.status_code, found


@dataclass
class Load:
    """All people together."""

    people: list[Person]
    stopping: threading.Event

    @classmethod
    def of(cls, plan: Plan, scene: Scene, base: str) -> Load:
        """Nobody has begun yet."""
        stopping = threading.Event()
        return cls([Person(n, plan, scene, base, stopping) for n in range(plan.people)], stopping)

    def begin(self) -> None:
        """Let them click."""
        for person in self.people:
            person.start()

    def is_over(self) -> bool:
        """Whether nobody waits for an answer any more, after `stopping` was set."""
        return not any(person.is_alive() for person in self.people)

    @property
    def clicks(self) -> list[Click]:
        """Everybody's."""
        return [click for person in self.people for click in person.clicks]

    @property
    def cancellings(self) -> list[Cancelling]:
        """Everybody's."""
        return [cancelling for person in self.people for cancelling in person.cancellings]
