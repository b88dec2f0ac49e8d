"""Derive the outcome of a deployment from the events of an Ansible run.

The host decides what most of these events contain, and can make Ansible print a line that looks like an event. So every
value is checked for its type before it is used.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from typing import Any

from api.messages import join_messages, limit_message, map_texts
from api.messages import message as _

from . import ssh
from .contract import Code, OnLine, Order, Outcome
from .masked_log import MaskedLog
from .untrusted_text import clean_ends, clean_label, clean_text

DISK_FULL_TEXTS = ("No space left on device", "Disk quota exceeded")
FAILED_EVENTS = {"runner_on_failed", "runner_on_unreachable"}
# Codes that only the portal may set; a host that answers with one of them is not believed.
PORTAL_ONLY_CODES = {Code.OK, Code.CANCELLED, Code.ADDRESS_REFUSED}
MESSAGE_CHARACTERS = 2_000
OUTPUT_CHARACTERS = 200_000
MAX_KEPT_TEXTS = 20


class _HostProgress:
    """The progress of a run on its host."""

    def __init__(self, order: Order, on_line: OnLine) -> None:
        self.order = order
        self.log = MaskedLog(on_line, order.secrets())
        self.changed = False
        self.running: str | None = None
        self.knows_running = False
        # The first failure sets the code; failures of the automatic revert only add to the message.
        self.code: Code | None = None
        # The code that a playbook set with `set_fact` before a task failed.
        self.announced_code: object = None
        self.messages: list[str] = []

    def handle_event(self, kind: str, event: Mapping[str, Any]) -> None:
        """Handle one event."""
        if kind == "runner_on_start":
            return
        task, result = clean_text(event.get("task"), 200), _as_mapping(event.get("result"))
        changed = result.get("changed") is True
        self.changed |= changed
        if "portal_running" in result:
            self.running = clean_label(result["portal_running"])
            self.knows_running = True
        failed = kind in FAILED_EVENTS and event.get("ignored") is not True
        if kind not in FAILED_EVENTS:
            self.announced_code = result.get("portal_code", self.announced_code)
        outcome = "failed" if kind in FAILED_EVENTS else "changed" if changed else "ok"
        self.log.add(f"{task}: {outcome}{_format_details(result) if kind in FAILED_EVENTS else ''}")
        for output in ("stdout", "stderr"):
            self.log.add(clean_text(result.get(output), OUTPUT_CHARACTERS))
        if failed:
            if kind == "runner_on_unreachable":
                self.running = None
            self.code = self.code or _classify_failure(kind, result, self.announced_code)
            self.messages.append(f"{task}{_format_details(result)}")

    def outcome(self, *, succeeded: bool, stopped: Code | None) -> Outcome:
        """Return the outcome of a run that has `succeeded` or was `stopped`.

        `succeeded` comes from Ansible's statistics at the end of the run: a task that failed and was rescued does not
        count as a failure there.
        """
        done = self.knows_running and self.running == self.order.release.label
        # A run that was stopped after it had settled the release has succeeded all the same.
        failure_code = self.code or (Code.OK if done and stopped else stopped or Code.FAILED)
        code = Code.OK if succeeded else failure_code
        running = self.order.release.label if code is Code.OK and not self.knows_running else self.running
        messages = [] if code is Code.OK else self.messages
        label = join_messages([code.label, "."], "")
        message = map_texts(join_messages([label, *messages]), self.log.mask)
        return Outcome(
            code, limit_message(message, MESSAGE_CHARACTERS), running, self.changed, self.log.lines()
        )


class Progress:
    """A reader of the output of `ansible_run.py`."""

    def __init__(self, host: str, order: Order, on_line: OnLine) -> None:
        self._host_name = host
        self._host = _HostProgress(order, on_line)
        self._stats: dict[str, list[object]] | None = None
        self._texts: deque[str] = deque(maxlen=MAX_KEPT_TEXTS)

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
            stats = _as_mapping(event.get("stats"))
            self._stats = {name: hosts for name, hosts in stats.items() if isinstance(hosts, list)}
        elif event.get("host") == self._host_name:
            self._host.handle_event(kind, event)

    def outcome(self, stopped: Code | None) -> Outcome:
        """Return the outcome of the run, which ended by itself or was `stopped`."""
        host = self._host
        failed = self._has_statistic("failures") or self._has_statistic("dark")
        succeeded = self._has_statistic("ok") and not failed
        if not succeeded and stopped is None and not host.messages:
            host.messages.append(self._explain_missing_failure())
            host.log.add("\n".join([host.messages[-1], *self._texts]))
        return host.outcome(succeeded=succeeded, stopped=stopped)

    def _has_statistic(self, name: str) -> bool:
        return self._host_name in (self._stats or {}).get(name, [])

    def _explain_missing_failure(self) -> str:
        """Return why the run did not succeed although no task failed."""
        last = " ".join(self._texts)[-500:]
        if self._stats is None:
            return _("Ansible ended before the playbook did. %(last)s") % {"last": last}
        if self._has_statistic("skipped"):
            return _("Every task of the playbook was skipped on this host: nothing was done.")
        return _("The playbook has no task for this host: nothing was done. %(last)s") % {"last": last}


def _as_mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _format_details(result: Mapping[str, Any]) -> str:
    text = clean_ends(result.get("msg"), MESSAGE_CHARACTERS // 2).strip()
    code = result.get("rc")
    if code and isinstance(code, int):
        errors = clean_text(result.get("stderr") or result.get("module_stderr"), OUTPUT_CHARACTERS)
        text += f" (exit code {code}) {errors[-500:]}"
    return f": {text}" if text else ""


def _classify_failure(kind: str, result: Mapping[str, Any], announced_code: object) -> Code:
    texts = (result.get("msg"), result.get("stderr"), result.get("module_stderr"))
    text = " ".join(clean_text(part, OUTPUT_CHARACTERS) for part in texts)
    if kind == "runner_on_unreachable":
        return ssh.classify_error(text)
    for code in (result.get("portal_code"), announced_code):
        if isinstance(code, str) and code in Code.values and code not in PORTAL_ONLY_CODES:
            return Code(code)
    if result.get("timedout"):
        return Code.TIMED_OUT
    # Ansible's own modules report a full disk only in their text.
    return Code.DISK_FULL if any(phrase in text for phrase in DISK_FULL_TEXTS) else Code.FAILED
