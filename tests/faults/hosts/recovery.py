"""The time from the end of a fault until everything is whole again, measured from outside: each sign has its own time.

A host is whole when its web process says so, its worker answers, and a click through its web process can be followed live
until its job has ended. The portal is whole when, besides, no job is in flight and beat sends tasks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import requests

from tests.faults.storm.scene import Vm

from .load import HostUser
from .servers import APP_HOSTS, HostServers

PROBE_TIMEOUT_SECONDS = 5.0
PAUSE_SECONDS = 0.2
END_EVENT = "event: end"


@dataclass
class Recovery:
    """The seconds from the end of a fault to each sign that something works; no entry where it never came."""

    began: float = field(default_factory=time.monotonic)
    seconds: dict[str, float] = field(default_factory=dict)
    giving_up: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _signs: list[str] = field(default_factory=list)

    def watch(self, sign: str, happens: Callable[[], object]) -> None:
        """Look for a sign in a thread of its own, until it comes."""

        def look() -> None:
            while not self.giving_up.is_set():
                if _is_true(happens):
                    self.seconds[sign] = time.monotonic() - self.began
                    return
                self.giving_up.wait(PAUSE_SECONDS)

        self._signs.append(sign)
        thread = threading.Thread(target=look, name=sign, daemon=True)
        self._threads.append(thread)
        thread.start()

    def note(self, sign: str) -> None:
        """Record a sign that the caller has seen."""
        self.seconds.setdefault(sign, time.monotonic() - self.began)

    @property
    def missing(self) -> list[str]:
        """Return the signs that have not come."""
        return [sign for sign in self._signs if sign not in self.seconds]

    def give_up(self) -> None:
        """End the threads."""
        self.giving_up.set()
        for thread in self._threads:
            thread.join(2 * PROBE_TIMEOUT_SECONDS)


def _is_true(happens: Callable[[], object]) -> bool:
    """Return whether it happens; an error means that it does not."""
    try:
        return bool(happens())
    except Exception:  # noqa: BLE001 - whatever fails is not whole yet.
        return False


def watch_hosts(
    recovery: Recovery, servers: HostServers, probes: dict[str, HostUser], vms: dict[str, Vm]
) -> None:
    """Watch web, worker and live lines of each host. `probes` has a user, and `vms` a VM, for each host."""
    for host in APP_HOSTS:
        url = servers.get_web_url(host)
        recovery.watch(f"web on {host}", lambda url=url: is_serving(url))
        recovery.watch(f"worker on {host}", lambda host=host: answers_ping(host))
        probe = _LiveLine(probes[host], vms[host], recovery.giving_up)
        recovery.watch(f"live line of {host}", probe.follow)


def is_serving(url: str) -> bool:
    """Return whether a web process says that it can answer."""
    return requests.get(f"{url}/health/serving", timeout=PROBE_TIMEOUT_SECONDS).status_code == 200


def answers_ping(host: str) -> bool:
    """Return whether the worker of a host answers over the broker."""
    from portal.celery import app

    return bool(app.control.ping(destination=[f"worker@{host}"], timeout=1.0))


@dataclass
class _LiveLine:
    """A click, and the stream of its job's events until the job has ended."""

    user: HostUser
    vm: Vm
    giving_up: threading.Event
    job: str = ""

    def follow(self) -> bool:
        """Click, unless that is done, and follow the job; return whether the stream has told of its end."""
        if not self.job:
            click = self.user.click(f"p{self.user.number}-probe", self.vm.id, "restart")
            self.job = next(iter(click.jobs), "")
        with self.user.session.get(
            f"{self.user.url}/api/v1/jobs/{self.job}/events/",
            stream=True,
            timeout=PROBE_TIMEOUT_SECONDS + 5,
        ) as answer:
            answer.raise_for_status()
            for line in answer.iter_lines(decode_unicode=True):
                if line == END_EVENT:
                    return True
                if self.giving_up.is_set():
                    break
        return False
