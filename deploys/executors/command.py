"""The executor `command`: a program on the portal's machine does it, for tests and for hosts without SSH.

The program is the operator's, named in the settings of the installation; a service chooses one by its name. It gets the
order as JSON on standard input and in `PORTAL_*` variables, and tells by its exit code how it went (`EXIT_CODES`).
Its output becomes log lines; a line `running=<label>` says which version runs afterwards.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from . import health
from .addresses import check_host_address
from .contract import (
    Code,
    Executor,
    ExecutorError,
    OnLine,
    Order,
    Outcome,
    Release,
    Settings,
)
from .masked_log import MaskedLog
from .process import ProcessCancelledError, ProcessTimedOutError, run_program
from .registry import register
from .untrusted_text import clean_label

# What a program says by its exit code; any other one is `failed`.
EXIT_CODES = {
    0: Code.OK,
    10: Code.UNREACHABLE,
    11: Code.UNKNOWN_HOST_KEY,
    12: Code.KEY_REFUSED,
    13: Code.DISK_FULL,
    14: Code.ARTIFACT_GONE,
    15: Code.ARTIFACT_WRONG_SUM,
    16: Code.UNHEALTHY,
    17: Code.FLAPPING,
    18: Code.TIMED_OUT,
    19: Code.ARTIFACT_UNAVAILABLE,
    20: Code.ARTIFACT_BAD,
}
RUNNING = "running="


@register
class CommandExecutor(Executor):
    """Runs a configured program once for each order.

    `programs` are the operator's, by name, each a list of program and arguments. `seconds` bound one run of one.
    Health checks are made from here, unless a service says that its program
    makes them (`health_by: program`).
    """

    name = "command"
    label = _("A program on the portal's machine")

    def __init__(
        self,
        *,
        programs: Mapping[str, Sequence[str]] | None = None,
        seconds: float = 60,
        allow_local: bool = False,
    ) -> None:
        self.programs = {name: list(program) for name, program in (programs or {}).items()}
        self.seconds = seconds
        self.allow_local = allow_local

    def check_settings(self, settings: Settings) -> dict[str, str | Promise]:
        """See `Executor`."""
        wrong: dict[str, str | Promise] = {}
        for field in sorted(set(settings) - {"program", "health_by"}):
            wrong[field] = _("Unknown setting.")
        if not (isinstance(settings.get("program"), str) and settings["program"] in self.programs):
            names = ", ".join(sorted(self.programs)) or "-"
            wrong["program"] = _("The programs are: %(names)s.") % {"names": names}
        if settings.get("health_by", "portal") not in ["portal", "program"]:
            wrong["health_by"] = _("Enter portal or program.")
        return wrong

    def deploy(
        self, order: Order, on_line: OnLine, *, should_continue: Callable[[], bool] = lambda: True
    ) -> Outcome:
        """Run the service's program, and check the service's health; on failure, run it again for the previous version."""
        log = MaskedLog(on_line, order.secrets())
        if wrong := self.check_settings(order.settings):
            field, message = next(iter(wrong.items()))
            return Outcome(Code.FAILED, f"{field}: {message}", changed=False)
        try:
            if self._asks_itself(order) and order.health:
                check_host_address(order.target.ip, port=order.health.port, allow_local=self.allow_local)
        except ExecutorError as error:
            return Outcome(error.code, error.message, changed=False)
        code, running = self._put(order, order.release, log, should_continue)
        last = next(iter(reversed(log.lines())), "")
        if code is not Code.OK and code is not Code.CANCELLED and order.put_back and order.previous:
            log.add(f"Putting back {order.previous.label}.")
            back, running = self._put(order, order.previous, log, should_continue)
            if back is not Code.OK:
                running = None
        message = str(code.label) + ("" if code is Code.OK else f". {last}")
        return Outcome(code, message, running, lines=log.lines())

    def _put(
        self, order: Order, release: Release, log: MaskedLog, should_continue: Callable[[], bool]
    ) -> tuple[Code, str | None]:
        code, running = self._run(order, release, log, should_continue)
        if code is not Code.OK:
            return code, running
        running = release.label if running is None else running
        if self._asks_itself(order) and order.health:
            check = order.health
            watched = health.watch(
                order.target.ip,
                check.port,
                path=check.path,
                expected_status=check.expected_status,
                in_a_row=check.in_a_row,
                seconds=check.seconds,
                interval=check.interval,
                contains=check.contains.replace("{version}", release.label),
                should_continue=should_continue,
            )
            if watched.code != Code.OK:
                log.add(f"Health check: {watched.last}.")
                return Code(watched.code), None
        return Code.OK, running

    def _run(
        self, order: Order, release: Release, log: MaskedLog, should_continue: Callable[[], bool]
    ) -> tuple[Code, str | None]:
        """Run the program once: what it says, and which version runs if it says that."""
        running: str | None = None

        def read(line: str) -> None:
            nonlocal running
            if line.startswith(RUNNING):
                running = clean_label(line.removeprefix(RUNNING).strip())
            log.add(line)

        values = arguments(order, release)
        variables = {
            f"PORTAL_{key.upper()}": str(value) for key, value in values.items() if value is not None
        }
        try:
            code = run_program(
                self.programs[order.settings["program"]],
                read,
                seconds=self.seconds,
                # The portal's own variables hold its passwords.
                environment={"PATH": os.pathsep.join(os.get_exec_path()), "LANG": "C.UTF-8", **variables},
                stdin=json.dumps(values),
                leave_daemons=True,
                should_continue=should_continue,
            )
        except ProcessTimedOutError:
            log.add(f"The program was killed after {self.seconds:.0f} s.")
            return Code.TIMED_OUT, None
        except ProcessCancelledError:
            log.add("The program was stopped.")
            return Code.CANCELLED, None
        if code not in EXIT_CODES:
            log.add(f"The program's exit code is {code}.")
        return EXIT_CODES.get(code, Code.FAILED), running

    def _asks_itself(self, order: Order) -> bool:
        return order.health is not None and order.settings.get("health_by", "portal") == "portal"


def arguments(order: Order, release: Release) -> dict[str, Any]:
    """Return what the program is told. It gets no private key: a program that needs one has its own."""
    target, check = order.target, order.health
    return {
        # Programs of operators read it; there is no other action.
        "action": "deploy",
        "host": target.name,
        "ip": target.ip,
        "ssh_port": target.ssh_port,
        "user": target.user,
        "service": target.service,
        "service_port": target.service_port,
        "folder": target.folder,
        "version": release.label,
        "previous_version": order.previous.label if order.previous else "",
        "artifact_url": release.artifact_url,
        "sha256": release.sha256,
        "health_port": check.port if check else None,
        "health_path": check.path if check else None,
        "health_status": check.expected_status if check else None,
    }
