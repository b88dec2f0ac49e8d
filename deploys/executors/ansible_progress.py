"""What the events of an Ansible run mean for each host in it."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from typing import Any

from . import ssh
from .contract import Code, Order, Outcome, SayHost
from .masked_log import MaskedLog

FULL_DISK = ("No space left on device", "Disk quota exceeded")
FAILED = {"runner_on_failed", "runner_on_unreachable"}


class _HostProgress:
    """One host's part of a run."""

    def __init__(self, order: Order, say: SayHost) -> None:
        self.order = order
        self.log = MaskedLog(lambda line: say(order.target.name, line), order.secrets())
        self.changed = False
        self.running: str | None = None
        self.settled = False
        # The first trouble names the code; what went wrong while putting back is only told.
        self.code: Code | None = None
        # What a playbook said with `set_fact` before it failed.
        self.announced: Any = None
        self.said: list[str] = []

    def take(self, event: Mapping[str, Any]) -> None:
        """Take in one event of this host."""
        kind, task, result = event["event"], event["task"], event["result"]
        if kind == "runner_on_start":
            return
        self.changed |= bool(result.get("changed"))
        if "portal_running" in result:
            self.running = result["portal_running"]
            self.settled = True
        failed = kind in FAILED and not event["ignored"]
        if kind not in FAILED:
            self.announced = result.get("portal_code", self.announced)
        outcome = "failed" if kind in FAILED else "changed" if result.get("changed") else "ok"
        self.log.add(f"{task}: {outcome}{_details(result) if kind in FAILED else ''}")
        for output in ("stdout", "stderr"):
            self.log.add(str(result.get(output) or ""))
        if failed:
            if kind == "runner_on_unreachable":
                self.running = None
            self.code = self.code or _code_of(kind, result, self.announced)
            self.said.append(f"{task}{_details(result)}")

    def outcome(self, *, over: bool, stopped: Code | None) -> Outcome:
        """How it ended, when the whole run is `over` for this host or was `stopped`."""
        code = self.code
        done = self.settled and self.running == self.order.release.label
        if code is None:
            # A run that was stopped is no news for hosts that were through.
            code = Code.OK if over or done else stopped or Code.FAILED
        running = self.order.release.label if code is Code.OK and not self.settled else self.running
        message = self.log.mask(" ".join([f"{code.label}.", *self.said]))[:2000]
        return Outcome(code, message, running, self.changed, self.log.lines())


class Progress:
    """Reads what `ansible_run.py` prints."""

    def __init__(self, hosts: Mapping[str, Order], say: SayHost) -> None:
        self._hosts = {host: _HostProgress(order, say) for host, order in hosts.items()}
        self._stats: dict[str, list[str]] | None = None
        self._texts: deque[str] = deque(maxlen=20)

    def read(self, line: str) -> None:
        """Take in one line."""
        try:
            event = json.loads(line)
        except ValueError:
            self._texts.append(line)
            return
        if event.get("event") == "text":
            self._texts.append(event["text"])
        elif event.get("event") == "playbook_on_stats":
            self._stats = event["stats"]
        elif host := self._hosts.get(event.get("host", "")):
            host.take(event)

    def outcomes(self, stopped: Code | None) -> dict[str, Outcome]:
        """The outcome of each target."""
        found = {}
        stats = self._stats or {}
        for name, host in self._hosts.items():
            over = name in stats.get("ok", ()) and name not in stats.get("failures", ())
            over = over and name not in stats.get("dark", ())
            if not over and host.code is None and stopped is None:
                # Ansible itself broke down: what it said is all that there is to show.
                host.log.add("\n".join(self._texts))
                host.said.append(" ".join(self._texts)[-500:])
            found[host.order.target.name] = host.outcome(over=over, stopped=stopped)
        return found


def _details(result: Mapping[str, Any]) -> str:
    words = str(result.get("msg") or "").strip()
    if result.get("rc"):
        words += f" (exit code {result['rc']}) {str(result.get('stderr') or result.get('module_stderr') or '')[-500:]}"
    return f": {words}" if words else ""


def _code_of(kind: str, result: Mapping[str, Any], announced: Any) -> Code:
    text = f"{result.get('msg')} {result.get('stderr')} {result.get('module_stderr')}"
    if kind == "runner_on_unreachable":
        return ssh.meaning_of(text)
    for said in (result.get("portal_code"), announced):
        if said in Code.values and said != Code.OK:
            return Code(said)
    if result.get("timedout"):
        return Code.TIMED_OUT
    # Ansible's own modules have no better word for it.
    return Code.DISK_FULL if any(words in text for words in FULL_DISK) else Code.FAILED
