"""Requests to create VMs, one after another, at the web processes of both releases in turn."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.faults.framework.report import Invariant
from tests.faults.storm.answers import AnswerLog

PAUSE_SECONDS = 2.0


@dataclass
class Creator(threading.Thread):
    """A program that creates VMs until `stopping` is set."""

    # May be changed while the thread runs.
    urls: list[str]
    token: str
    information_system: str
    answers: AnswerLog
    stopping: threading.Event
    accepted: dict[str, str] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        super().__init__(name="creator", daemon=True)

    # A thread is compared and hashed by its identity.
    __hash__ = threading.Thread.__hash__
    __eq__ = threading.Thread.__eq__

    def run(self) -> None:
        """Create VMs, every other one with a boot volume, which a child of the job creates."""
        with requests.Session() as session:
            session.trust_env = False
            session.headers["Authorization"] = f"Token {self.token}"
            for number in itertools.count():
                if self.stopping.wait(PAUSE_SECONDS):
                    return
                body = {
                    "information_system": self.information_system,
                    "name": f"upgrade-{number}",
                    "cpu_cores": 2,
                    "memory_gb": 4,
                    "disk_gb": 40,
                    "os_type": "ubuntu",
                    "boot_volume": number % 2 == 0,
                }
                url = f"{self.urls[number % len(self.urls)]}/api/v1/vms/"
                headers = {"Idempotency-Key": body["name"]}
                answer = self.answers.send(session, "POST", url, json=body, headers=headers)
                if answer is not None and answer.status_code == 202:
                    self.accepted[str(body["name"])] = answer.json()["job"]["id"]
                elif answer is not None:
                    self.refused[f"{answer.status_code} {answer.text[:200]}"] += 1

    def check(self, jobs: Sequence[Any], servers: Sequence[dict[str, Any]]) -> list[Invariant]:
        """Compare the accepted requests with the jobs and with the servers in the cloud."""
        statuses = {str(job.pk): job.status for job in jobs}
        created = Counter(server["name"] for server in servers)
        wrong = [
            f"{name}: its job is {statuses.get(job, 'gone')}, {created[name]} servers have the name"
            for name, job in self.accepted.items()
            if statuses.get(job) != "succeeded" or created[name] != 1
        ]
        return [
            Invariant("every accepted creation made one server", wrong, len(self.accepted)),
            Invariant(
                "no creation was refused", [f"{count} times {why}" for why, count in self.refused.items()]
            ),
        ]
