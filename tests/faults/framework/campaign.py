"""The course of every campaign: start the servers, prepare, disturb, settle, check the invariants, end everything.

A campaign takes the whole process: it installs signal handlers, sets environment variables and sets Django up once. Run it
by `python -m tests.faults`. Django reads its settings when it is set up, so a module of a campaign imports nothing of
Django at its top unless it is itself imported by a method that runs after that.
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, ClassVar, NoReturn

from .processes import Processes
from .report import Invariant, Report
from .servers import Servers

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PROGRESS_SECONDS = 15.0


class Campaign(ABC):
    """A seeded run with servers and processes of its own. Call its methods from the main thread alone."""

    name: ClassVar[str]
    # Settings of the portal, which win over those of `Servers`.
    environment: ClassVar[Mapping[str, str]] = {}
    # How often `tick` does what beat would do. None where a beat runs.
    sweep_seconds: ClassVar[float | None] = 1.0

    def __init__(self, options: argparse.Namespace, log: Callable[[str], None]) -> None:
        self.options = options
        self.seed: int = options.seed
        self.log = log
        self.report = Report(self.name, self.seed)
        self._next_sweep = 0.0
        self._last_progress = time.monotonic()

    @staticmethod  # noqa: B027 - a campaign without options of its own leaves this empty.
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Add the options of this campaign to those that all have."""

    def run(self) -> Report:
        """Run the campaign, and return its report. Nothing of it is left running, however it ends."""
        for number in STOP_SIGNALS:
            signal.signal(number, _interrupt)
        self.servers = self.create_servers()
        os.environ.update(self.environment)
        self.processes = self.create_processes()
        keep_logs = True
        try:
            self._run_phases()
            keep_logs = self.options.keep_logs or not self.report.holds
        except KeyboardInterrupt:
            keep_logs = self.options.keep_logs
            raise
        finally:
            # Ending everything takes seconds and must not be cut short.
            for number in STOP_SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            try:
                self.clean_up()
            finally:
                self.processes.stop()
                self.servers.stop()
                self.processes.end_descendants()
                self.servers.remove_folder(keep_logs=keep_logs)
            if keep_logs:
                self.log(f"The logs are in {self.servers.folder}")
        return self.report

    def create_servers(self) -> Servers:
        """Create the servers, which do not run yet."""
        return Servers()

    def create_processes(self) -> Processes:
        """Create the manager of the portal's processes; none runs yet."""
        return Processes(self.servers)

    def _run_phases(self) -> None:
        self.log("Starting the servers.")
        self.servers.start(self.seed)
        self.set_up_portal()
        self.prepare()
        began = time.monotonic()
        self.log("Disturbing.")
        self.disturb()
        disturbed = time.monotonic()
        self.log("Nothing is disturbed any more; waiting until everything has settled.")
        unsettled = self.settle()
        seconds = {
            "seconds of disturbance": f"{disturbed - began:.1f}",
            "seconds to settle": f"{time.monotonic() - disturbed:.1f}",
        }
        self.report.invariants = [
            Invariant("everything settles in time", unsettled),
            *self.check_invariants(),
        ]
        self.report.sections = {**self.collect_figures(), "Duration": seconds}

    def set_up_portal(self) -> None:
        """Set Django up, and make the portal's tables."""
        import django

        django.setup()
        from tests.tables import make_tables

        make_tables()

    @abstractmethod
    def prepare(self) -> None:
        """Fill the database and the cloud, and start the portal's processes."""

    @abstractmethod
    def disturb(self) -> None:
        """Put load on the portal while its processes and the cloud fail, then make everything whole again."""

    def settle(self) -> list[str]:
        """Wait until no work is left, and return a sentence for each piece of work that is."""
        return []

    @abstractmethod
    def check_invariants(self) -> list[Invariant]:
        """Compare the database, the logs and the cloud, and return every invariant."""

    @abstractmethod
    def collect_figures(self) -> dict[str, Mapping[str, object]]:
        """Return the sections of the report: what was done, how often, and what came of it."""

    def clean_up(self) -> None:  # noqa: B027 - most campaigns change nothing else.
        """Undo what the campaign has changed outside of its own servers. Called even if it failed to start."""

    def tick(self) -> None:
        """Restart dead processes, resume frozen ones, and sweep when it is time. Call this all the time."""
        self.processes.watch()
        if self.sweep_seconds is not None and time.monotonic() >= self._next_sweep:
            self.sweep()
            self._next_sweep = time.monotonic() + self.sweep_seconds

    def sweep(self) -> None:
        """Do what beat does."""
        from tasks import engine

        engine.sweep()

    def wait_until(self, happens: Callable[[], object], seconds: float, *, pause: float = 0.1) -> bool:
        """Tick until something happens, and return whether it happened in time."""
        deadline = time.monotonic() + seconds
        while True:
            self.tick()
            if happens():
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(pause)

    def wait_for_workers(self, count: int) -> None:
        """Wait until this many workers answer. Raises `TimeoutError` with the ends of the logs."""
        from portal.celery import app

        self.servers.wait(lambda: len(app.control.ping(timeout=0.5) or []) >= count, "A worker")

    def log_progress(self, describe: Callable[[], str]) -> None:
        """Log a line every quarter of a minute, for whoever watches."""
        if time.monotonic() - self._last_progress > PROGRESS_SECONDS:
            self._last_progress = time.monotonic()
            self.log(f"  {describe()}")

    def connect_simulator(self) -> Any:
        """Return the simulated cloud as `tests.simulated.SimulatedCloud`."""
        from tests.simulated import SimulatedCloud

        return SimulatedCloud(self.servers.cloud_url, f"{self.servers.cloud_url}/identity/v3")


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
