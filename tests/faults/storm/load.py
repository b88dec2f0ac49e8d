"""The users: each reads a VM, requests an action that it allows, and sometimes cancels a job."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import requests

from .answers import AnswerLog
from .plan import Plan, PlannedClick
from .scene import Scene

# How long a click under a key is repeated until it is answered. Longer than anything is down.
MAX_REPEAT_SECONDS = 240
# What a user does with a VM that is busy: cancel its job below the first number, click all the same below the second.
CANCEL_BELOW = 0.25
CLICK_BELOW = 0.45
ACTIONS = ("start", "stop", "restart")


@dataclass
class Click:
    """One request for an action on a VM. Without a key it is sent once; under a key until it is answered."""

    name: str
    vm: str
    action: str
    hard: bool
    key: str | None
    tries: int = 0
    # The last answer; 0 if none came, and the user does not know whether the click was accepted.
    status: int = 0
    code: str = ""
    changed: bool = False
    # Every job that an answer to this click named, and every answer that accepted it: status, `changed`, job.
    jobs: set[str] = field(default_factory=set)
    accepted: set[tuple[int, bool, str]] = field(default_factory=set)
    replayed: bool = False


@dataclass
class Cancellation:
    """One request to cancel a job. It is sent once."""

    job: str
    status: int = 0


class User(threading.Thread):
    """One user, who clicks until `stopping` is set and every click under a key is answered."""

    def __init__(
        self,
        number: int,
        plan: Plan,
        scene: Scene,
        url: str,
        stopping: threading.Event,
        answers: AnswerLog,
    ) -> None:
        super().__init__(name=f"user-{number}", daemon=True)
        self.number, self.plan, self.scene, self.url = number, plan, scene, url
        self.stopping, self.answers = stopping, answers
        self.clicks: list[Click] = []
        self.cancellations: list[Cancellation] = []
        self.problems: list[str] = []
        self.failed_reads = 0
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Token {scene.tokens[number]}"

    def run(self) -> None:
        """Click until `stopping` is set."""
        mean = self.plan.users / self.plan.clicks_per_second
        due = time.monotonic()
        for number, planned in enumerate(self.plan.generate_clicks(self.number)):
            due += planned.pause * mean
            # A click that was late does not make the next ones come faster.
            due = max(due, time.monotonic() - mean)
            if self.stopping.wait(max(0.0, due - time.monotonic())):
                return
            try:
                self._act(f"p{self.number}-{number}", planned)
            except Exception as error:  # noqa: BLE001 - an error of the campaign is reported, not lost with the thread.
                self.problems.append(f"{self.name}: {error!r}")

    def _act(self, name: str, planned: PlannedClick) -> None:
        vm = self.scene.vms[planned.vm]
        answer, body = self._request("GET", f"vms/{vm.id}/", name=name)
        if answer != 200:
            self.failed_reads += 1
        allowed = sorted(set(body.get("allowed_actions", ())) & set(ACTIONS))
        if answer != 200 and planned.keyed:
            # The user clicks the button of a page that was loaded before.
            self._click(name, vm.id, ACTIONS[int(planned.action * 3)], planned)
        elif answer != 200:
            return
        elif allowed:
            self._click(name, vm.id, allowed[int(planned.action * len(allowed))], planned)
        elif planned.busy < CANCEL_BELOW:
            if body["current_job"]:
                self._cancel(name, body["current_job"]["id"])
        elif planned.busy < CLICK_BELOW:
            self._click(name, vm.id, ACTIONS[int(planned.action * 3)], planned)

    def _click(self, name: str, vm_id: str, action: str, planned: PlannedClick) -> None:
        hard = planned.hard and action == "restart"
        click = Click(name, vm_id, action, hard, key=f"storm-{name}" if planned.keyed else None)
        self.clicks.append(click)
        until = time.monotonic() + MAX_REPEAT_SECONDS
        while True:
            click.tries += 1
            status, body = self._request(
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
            if click.key and click.tries == 1 and planned.answer_lost:
                # The answer counts as lost and the click is sent again; the invariants compare both answers.
                time.sleep(planned.pause)
                continue
            if self._is_final(status, body):
                click.status, click.code = status, body.get("code", "")
                click.changed = bool(body.get("changed"))
                click.replayed = bool(body.get("replayed"))
                return
            if click.key is None or time.monotonic() > until:
                return
            time.sleep(min(2.0, 0.2 * click.tries))

    @staticmethod
    def _is_final(status: int, body: dict[str, Any]) -> bool:
        """Return whether an answer tells for certain what became of a click."""
        if status == 0 or status >= 500 or status == 429:
            return False
        # "busy" without a job means that a lock was not acquired in time: the same click may still be carried out.
        return status != 409 or (
            body.get("code") != "in_progress" and (body.get("code") != "busy" or "job" in body)
        )

    def _cancel(self, name: str, job_id: str) -> None:
        cancellation = Cancellation(job_id)
        self.cancellations.append(cancellation)
        cancellation.status, _body = self._request("POST", f"jobs/{job_id}/cancel/", {}, name=name)

    def _request(
        self, method: str, path: str, body: Any = None, *, name: str, key: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Send one request; status 0 if no answer came. Its id is the name of the try, and a job keeps the id."""
        headers = {"X-Request-ID": f"storm-{name}"}
        if key:
            headers["Idempotency-Key"] = key
        answer = self.answers.send(
            self.session, method, f"{self.url}/api/v1/{path}", json=body, headers=headers
        )
        try:
            found = answer.json() if answer is not None else None
        except ValueError:
            found = None
        if answer is None or found is None:
            return 0, {}
        if answer.headers.get("Idempotent-Replayed"):
            found["replayed"] = True
        return answer.status_code, found


@dataclass
class Load:
    """All users together."""

    users: list[User]
    stopping: threading.Event

    @classmethod
    def create(cls, plan: Plan, scene: Scene, url: str, answers: AnswerLog) -> Load:
        """Create the users. They do not click yet."""
        stopping = threading.Event()
        return cls([User(n, plan, scene, url, stopping, answers) for n in range(plan.users)], stopping)

    def begin(self) -> None:
        """Let the users click."""
        for user in self.users:
            user.start()

    def is_over(self) -> bool:
        """Return whether no user waits for an answer any more, after `stopping` was set."""
        return not any(user.is_alive() for user in self.users)

    @property
    def clicks(self) -> list[Click]:
        """Return the clicks of all users."""
        return [click for user in self.users for click in user.clicks]

    @property
    def cancellations(self) -> list[Cancellation]:
        """Return the cancellations of all users."""
        return [cancellation for user in self.users for cancellation in user.cancellations]
