"""What the events of an Ansible run mean for its host.

Hosts decide what most of these events hold, and can even have Ansible print what looks like one: nothing in them is of the
type that it should be until it was looked at.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from . import ssh
from .contract import Code, OnLine, Order, Outcome
from .masked_log import MaskedLog
from .untrusted_text import clean_ends, clean_label, clean_text

FULL_DISK = ("No space left on device", "Disk quota exceeded")
FAILED = {"runner_on_failed", "runner_on_unreachable"}
# What only the portal itself can know.
OURS = {Code.OK, Code.CANCELLED, Code.ADDRESS_REFUSED}
MESSAGE_CHARACTERS = 2_000
OUTPUT_CHARACTERS = 200_000
KEPT_TEXTS = 20


class _HostProgress:
    """The progress of a run on its host."""

    def __init__(self, order: Order, on_line: OnLine) -> None:
        self.order = order
        self.log = MaskedLog(on_line, order.secrets())
        self.changed = False
        self.running: str | None = None
        self.settled = False
        # The first trouble names the code; what went wrong while putting back is only told.
        self.code: Code | None = None
        # What a playbook said with `set_fact` before it failed.
        self.announced: object = None
        self.said: list[str] = []

    def take(self, kind: str, event: Mapping[str, Any]) -> None:
        """Handle one event."""
        if kind == "runner_on_start":
            return
        task, result = clean_text(event.get("task"), 200), _mapping(event.get("result"))
        changed = result.get("changed") is True
        self.changed |= changed
        if "portal_running" in result:
            self.running = clean_label(result["portal_running"])
            self.settled = True
        failed = kind in FAILED and event.get("ignored") is not True
        if kind not in FAILED:
            self.announced = result.get("portal_code", self.announced)
        outcome = "failed" if kind in FAILED else "changed" if changed else "ok"
        self.log.add(f"{task}: {outcome}{_details(result) if kind in FAILED else ''}")
        for output in ("stdout", "stderr"):
            self.log.add(clean_text(result.get(output), OUTPUT_CHARACTERS))
        if failed:
            if kind == "runner_on_unreachable":
                self.running = None
            self.code = self.code or _code_of(kind, result, self.announced)
            self.said.append(f"{task}{_details(result)}")

    def outcome(self, *, over: bool, stopped: Code | None) -> Outcome:
        """How it ended, when the whole run is `over` for this host or was `stopped`.

        `over` is what Ansible counted at its end: tasks that failed and were rescued are no failure then.
        """
        done = self.settled and self.running == self.order.release.label
        # A run that was stopped is no news for hosts that were through.
        ended = self.code or (Code.OK if done and stopped else stopped or Code.FAILED)
        code = Code.OK if over else ended
        running = self.order.release.label if code is Code.OK and not self.settled else self.running
        words = [] if code is Code.OK else self.said
        message = self.log.mask(" ".join([f"{code.label}.", *words]))[:MESSAGE_CHARACTERS]
        return Outcome(code, message, running, self.changed, self.log.lines())


class Progress:
    """Read the output of `ansible_run.py`."""

    def __init__(self, host: str, order: Order, on_line: OnLine) -> None:
        self._name = host
        self._host = _HostProgress(order, on_line)
        self._stats: dict[str, list[object]] | None = None
        self._texts: deque[str] = deque(maxlen=KEPT_TEXTS)

    def read(self, line: str) -> None:
        """Handle one line. Never raises, whatever the line holds."""
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            event = None
        kind = event.get("event") if isinstance(event, dict) else None
        if not isinstance(kind, str):
            self._texts.append(clean_text(line, MESSAGE_CHARACTERS))
        elif kind == "text":
            self._texts.append(clean_text(event.get("text"), MESSAGE_CHARACTERS))
        elif kind == "playbook_on_stats":
            stats = _mapping(event.get("stats"))
            self._stats = {name: hosts for name, hosts in stats.items() if isinstance(hosts, list)}
        elif event.get("host") == self._name:
            self._host.take(kind, event)

    def outcome(self, stopped: Code | None) -> Outcome:
        """Return the outcome of the run, which ended by itself or was `stopped`."""
        host = self._host
        over = self._counted("ok") and not (self._counted("failures") or self._counted("dark"))
        if not over and stopped is None and not host.said:
            host.said.append(self._reason())
            host.log.add("\n".join([host.said[-1], *self._texts]))
        return host.outcome(over=over, stopped=stopped)

    def _counted(self, name: str) -> bool:
        return self._name in (self._stats or {}).get(name, [])

    def _reason(self) -> str:
        """Why a host has not succeeded although no task of it has failed."""
        last = " ".join(self._texts)[-500:]
        if self._stats is None:
            return _("Ansible ended before the playbook did. %(last)s") % {"last": last}
        if self._counted("skipped"):
            return _("Every task of the playbook was skipped on this host: nothing was done.")
        return _("The playbook has no task for this host: nothing was done. %(last)s") % {"last": last}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _details(result: Mapping[str, Any]) -> str:
    words = clean_ends(result.get("msg"), MESSAGE_CHARACTERS // 2).strip()
    code = result.get("rc")
    if code and isinstance(code, int):
        errors = clean_text(result.get("stderr") or result.get("module_stderr"), OUTPUT_CHARACTERS)
        words += f" (exit code {code}) {errors[-500:]}"
    return f": {words}" if words else ""


def _code_of(kind: str, result: Mapping[str, Any], announced: object) -> Code:
    texts = (result.get("msg"), result.get("stderr"), result.get("module_stderr"))
    text = " ".join(clean_text(part, OUTPUT_CHARACTERS) for part in texts)
    if kind == "runner_on_unreachable":
        return ssh.meaning_of(text)
    for said in (result.get("portal_code"), announced):
        if isinstance(said, str) and said in Code.values and said not in OURS:
            return Code(said)
    if result.get("timedout"):
        return Code.TIMED_OUT
    # Ansible's own modules have no better word for it.
    return Code.DISK_FULL if any(words in text for words in FULL_DISK) else Code.FAILED
