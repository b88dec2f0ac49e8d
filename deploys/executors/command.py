"""The executor `command`: run a program on the portal's machine, for tests and for hosts without SSH.

The operator configures the programs in the settings of the installation, and a service selects one by its name. A program
gets the order as JSON on standard input and in `PORTAL_*` variables, and reports its result by its exit code (`EXIT_CODES`).
Its output becomes log lines; a line `running=<label>` names the version that runs afterwards.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import join_messages
from api.messages import message as _

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

# The meaning of a program's exit code; any other code is `failed`.
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
RUNNING_PREFIX = "running="


@register
class CommandExecutor(Executor):
    """Runs a configured program once for each order.

    `programs` maps names to lists of a program and its arguments. `seconds` limits one run of a program.
    The portal checks the health itself, unless the settings of a service say that its program does (`health_by: program`).
    """

    name = "command"
    label = gettext_lazy("A program on the portal's machine")

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
        """Return the errors of a service's settings by field."""
        errors: dict[str, str | Promise] = {}
        for field in sorted(set(settings) - {"program", "health_by"}):
            errors[field] = _("Unknown setting.")
        if not (isinstance(settings.get("program"), str) and settings["program"] in self.programs):
            names = ", ".join(sorted(self.programs)) or "-"
            errors["program"] = _("The programs are: %(names)s.") % {"names": names}
        if settings.get("health_by", "portal") not in ["portal", "program"]:
            errors["health_by"] = _("Enter portal or program.")
        return errors

    def deploy(
        self, order: Order, on_line: OnLine, *, should_continue: Callable[[], bool] = lambda: True
    ) -> Outcome:
        """Run the service's program, and check the service's health; on failure, run it again for the previous version."""
        log = MaskedLog(on_line, order.secrets())
        if errors := self.check_settings(order.settings):
            field, message = next(iter(errors.items()))
            return Outcome(Code.FAILED, join_messages([field, message], ": "), changed=False)
        try:
            if self._checks_health_itself(order) and order.health:
                check_host_address(order.target.ip, port=order.health.port, allow_local=self.allow_local)
        except ExecutorError as error:
            return Outcome(error.code, error.message, changed=False)
        code, running = self._deploy_release(order, order.release, log, should_continue)
        last = next(iter(reversed(log.lines())), "")
        if code is not Code.OK and code is not Code.CANCELLED and order.auto_revert and order.previous:
            log.add(f"Putting back {order.previous.label}.")
            revert_code, running = self._deploy_release(order, order.previous, log, should_continue)
            if revert_code is not Code.OK:
                running = None
        message = join_messages([code.label, "" if code is Code.OK else last], ". ")
        return Outcome(code, message, running, lines=log.lines())

    def _deploy_release(
        self, order: Order, release: Release, log: MaskedLog, should_continue: Callable[[], bool]
    ) -> tuple[Code, str | None]:
        code, running = self._run_program(order, release, log, should_continue)
        if code is not Code.OK:
            return code, running
        running = release.label if running is None else running
        if self._checks_health_itself(order) and order.health:
            check = order.health
            result = health.wait_until_healthy(
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
            if result.code != Code.OK:
                log.add(f"Health check: {result.last_error}.")
                return Code(result.code), None
        return Code.OK, running

    def _run_program(
        self, order: Order, release: Release, log: MaskedLog, should_continue: Callable[[], bool]
    ) -> tuple[Code, str | None]:
        """Run the program once; return its code, and the version that runs if its output names one."""
        running: str | None = None

        def read(line: str) -> None:
            nonlocal running
            if line.startswith(RUNNING_PREFIX):
                running = clean_label(line.removeprefix(RUNNING_PREFIX).strip())
            log.add(line)

        values = build_program_input(order, release)
        variables = {
            f"PORTAL_{key.upper()}": str(value) for key, value in values.items() if value is not None
        }
        try:
            code = run_program(
                self.programs[order.settings["program"]],
                read,
                seconds=self.seconds,
                # The program does not inherit the portal's environment, which contains its passwords.
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

    def _checks_health_itself(self, order: Order) -> bool:
        return order.health is not None and order.settings.get("health_by", "portal") == "portal"


def build_program_input(order: Order, release: Release) -> dict[str, Any]:
    """Return the program's input. It contains no private key: a program that needs one has its own."""
    target, check = order.target, order.health
    return {
        # Always the same; programs of operators may read it.
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
