"""The users of each host: some click on VMs as in the storm, one creates and removes, claims and syncs. Answers are kept."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.faults.storm.answers import TIMEOUT_SECONDS, AnswerLog
from tests.faults.storm.load import Click, Load, User
from tests.faults.storm.plan import Plan
from tests.faults.storm.scene import Scene

# An answer that took longer than this made its user wait.
SLOW_SECONDS = 3.0
KEPT_VMS = 3
KEPT_VOLUMES = 4


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one request: status 0 if none came."""

    host: str
    method: str
    at: float
    seconds: float
    status: int
    code: str

    @property
    def outcome(self) -> str:
        """Return what the user saw, in a few words."""
        if self.status == 0:
            return (
                f"no answer in {TIMEOUT_SECONDS} s" if self.seconds > TIMEOUT_SECONDS - 1 else "no connection"
            )
        if self.status < 400:
            return "answered"
        return f"{self.status} {self.code}".strip()


@dataclass(frozen=True, slots=True)
class Creation:
    """One request that makes an object: a VM, or a claim of a volume. `answer` has the body of the final answer."""

    kind: str
    name: str
    status: int
    answer: dict[str, Any] = field(default_factory=dict)


class HostUser(User):
    """A user of the storm who talks to the web process of one host, and keeps the answers."""

    def __init__(
        self, number: int, plan: Plan, scene: Scene, url: str, stopping: threading.Event, host: str
    ) -> None:
        super().__init__(number, plan, scene, url, stopping, AnswerLog())
        self.host = host
        self.host_answers: list[Answer] = []

    def request(
        self, method: str, path: str, body: Any = None, *, name: str, key: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Send one request, as `_request`."""
        return self._request(method, path, body, name=name, key=key)

    def _request(
        self, method: str, path: str, body: Any = None, *, name: str, key: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        began = time.monotonic()
        status, found = super()._request(method, path, body, name=name, key=key)
        seconds = time.monotonic() - began
        code = str(found.get("code", "")) if status >= 400 else ""
        self.host_answers.append(Answer(self.host, method, began, seconds, status, code))
        return status, found

    def click(self, name: str, vm: str, action: str) -> Click:
        """Click once under a key, and repeat that until it is answered."""
        planned = next(self.plan.generate_clicks(self.number))
        object.__setattr__(planned, "keyed", True)
        object.__setattr__(planned, "answer_lost", False)
        self._click(name, vm, action, planned)
        return self.clicks[-1]


class Manager(HostUser):
    """A user who creates and removes VMs and volumes and requests syncs, one after the other, until `stopping` is set.

    Everything that makes something has a name of its own and a key, and is repeated until it is answered.
    """

    pause_seconds = 1.0

    def __init__(self, *arguments: Any, system: str, account: int, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.system, self.account = system, account
        self.dice = random.Random(f"{self.plan.seed}/manager/{self.number}")
        self.creations: list[Creation] = []
        self.removed: set[str] = set()
        self.requested: Counter[str] = Counter()

    def run(self) -> None:
        """Choose one request after another."""
        number = 0
        while not self.stopping.wait(self.pause_seconds * (0.5 + self.dice.random())):
            number += 1
            try:
                self._choose(f"p{self.number}-m{number}")
            except Exception as error:  # noqa: BLE001 - reported, not lost with the thread.
                self.problems.append(f"{self.name}: {error!r}")

    def _choose(self, name: str) -> None:
        action = self.dice.choice(("create", "claim", "remove", "remove_volume", "sync", "sync_vms"))
        self.requested[action] += 1
        if action == "create":
            params = {
                "cpu_cores": 2,
                "memory_gb": 4,
                "disk_gb": 40,
                "os_type": "ubuntu",
                "boot_volume": False,
            }
            self._create("vm", "vms/", name, params)
        elif action == "claim":
            self._create("volume", "volumes/", name, {"type": "data", "count": 1})
        elif action == "remove":
            self._remove("vm", "vms/{}/?force=true&volumes=delete", KEPT_VMS, name)
        elif action == "remove_volume":
            self._remove("volume", "volumes/{}/", KEPT_VOLUMES, name)
        elif action == "sync":
            self.request("POST", f"cloud-accounts/{self.account}/sync/", {"types": ["flavor"]}, name=name)
        else:
            self.request("POST", "vms/sync/", {}, name=name)

    def _create(self, kind: str, path: str, name: str, params: dict[str, Any]) -> None:
        body = {"information_system": self.system, "name": name, **params}
        status, answer = self._repeat("POST", path, body, name)
        self.creations.append(Creation(kind, name, status, answer))

    def _remove(self, kind: str, path: str, kept: int, name: str) -> None:
        """Remove the oldest object of a kind that this user has made, once it has made a few."""
        made = [
            object_id
            for creation in self.creations
            if creation.kind == kind and (object_id := get_object_id(creation)) not in {"", *self.removed}
        ]
        if len(made) <= kept:
            return
        # Without a key, because a removal may be repeated. One without an answer may have been carried out.
        self.removed.add(made[0])
        self.request("DELETE", path.format(made[0]), name=name)

    def _repeat(self, method: str, path: str, body: Any, name: str) -> tuple[int, dict[str, Any]]:
        """Send a request under a key until an answer says what came of it, at most until a minute after the end."""
        tries, until = 0, 0.0
        while True:
            tries += 1
            status, answer = self.request(method, path, body, name=f"{name}.{tries}", key=f"hosts-{name}")
            if self._is_final(status, answer):
                return status, answer
            if self.stopping.is_set():
                until = until or time.monotonic() + 60
                if time.monotonic() > until:
                    return 0, {}
            time.sleep(min(2.0, 0.2 * tries))


def get_object_id(creation: Creation) -> str:
    """Return the id of what a creation has made, as far as its answer tells."""
    if creation.kind == "volume":
        volumes = creation.answer.get("volumes") or [{}]
        return str(volumes[0].get("id", ""))
    found = creation.answer.get("vm") or {}
    return str(found.get("id", ""))


@dataclass
class HostLoad(Load):
    """All users of all hosts, of one fault or of several."""

    @property
    def host_users(self) -> list[HostUser]:
        """Return the users, whose answers are kept."""
        return [user for user in self.users if isinstance(user, HostUser)]

    @property
    def managers(self) -> list[Manager]:
        """Return the users who create and remove."""
        return [user for user in self.users if isinstance(user, Manager)]

    @property
    def answers(self) -> list[Answer]:
        """Return the answers of all users."""
        return [answer for user in self.host_users for answer in user.host_answers]

    @property
    def creations(self) -> list[Creation]:
        """Return what all users have created."""
        return [creation for user in self.managers for creation in user.creations]

    @property
    def removed(self) -> set[str]:
        """Return the ids of what users have asked to remove."""
        return {object_id for user in self.managers for object_id in user.removed}
