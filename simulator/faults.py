"""Injected faults on matching requests, and the race behavior of a real Nova under concurrent actions."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from typing import Any

from .http_messages import bad_request

KINDS = (
    "status",
    "delay",
    "hang",
    "lose_answer",
    "reset",
    "garbage",
    "repeat",
    "cut",
    "lose_begun",
    "lose_all",
)


@dataclass(slots=True)
class Fault:
    """A rule. `rate` is its probability from 0 to 1, `times` the number of times that it applies (None: always).

    `status` answers with the status, without the work; `delay` waits `seconds`, then works; `hang` waits `seconds` (60 by
    default) and closes the connection, without the work; `lose_answer` works and closes the connection; `reset` closes it
    with a TCP reset, without the work; `garbage` works and answers with invalid JSON; `repeat` repeats the last element of a
    listing; `cut` works and closes the connection in the middle of the answer, whose full length it has announced.

    Two lose an accepted change inside the cloud: with `lose_begun` it never continues (a task that no host works on, a
    volume that stays `reserved` or `deleting`), with `lose_all` it leaves no trace.
    """

    kind: str
    service: str | None = None
    method: str | None = None
    path: re.Pattern[str] | None = None
    rate: float = 1.0
    status: int = 503
    seconds: float = 60.0
    times: int | None = None
    struck: int = 0
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Fault:
        """Parse a rule of the control API. Raises `HttpError` 400."""
        kind = raw.get("kind")
        if kind not in KINDS:
            raise bad_request(f"kind must be one of {', '.join(KINDS)}")
        try:
            path = re.compile(raw["path"]) if raw.get("path") else None
        except re.error as error:
            raise bad_request(f"path is no regular expression: {error}") from None
        method = raw.get("method")
        return cls(
            kind=str(kind),
            service=raw.get("service"),
            method=str(method).upper() if method else None,
            path=path,
            rate=float(raw.get("rate", 1.0)),
            status=int(raw.get("status", 503)),
            seconds=float(raw.get("seconds", 60.0)),
            times=raw.get("times"),
            headers=dict(raw.get("headers") or {}),
        )

    def as_json(self) -> dict[str, Any]:
        """Return the rule as the control API shows it."""
        return {
            "kind": self.kind,
            "service": self.service,
            "method": self.method,
            "path": self.path.pattern if self.path else None,
            "rate": self.rate,
            "status": self.status,
            "seconds": self.seconds,
            "times": self.times,
            "struck": self.struck,
        }


@dataclass(slots=True)
class Faults:
    """The active rules. The first rule that matches and is due applies."""

    rules: list[Fault] = field(default_factory=list)

    def pick(self, service: str, method: str, path: str, chance: random.Random) -> Fault | None:
        """Return the fault of this request, or None."""
        for rule in self.rules:
            if rule.service not in (None, service) or rule.method not in (None, method):
                continue
            if rule.path is not None and not rule.path.search(path):
                continue
            if rule.times is not None and rule.struck >= rule.times:
                continue
            if rule.rate < 1.0 and chance.random() >= rule.rate:
                continue
            rule.struck += 1
            return rule
        return None


@dataclass(slots=True)
class RaceBehavior:
    """The behavior of a real Nova when actions on one server overlap, and only then.

    Measured on Zed: of 50 simultaneous os-stop 3-6 were accepted, 1-14 answered 500 and the rest 409. `window_seconds`
    is the duration of an action's request, in which others overlap with it. The rates are those of a single request.
    """

    enabled: bool = True
    window_seconds: float = 0.005
    # The rate of actions that are accepted and repeated instead of refused with 409.
    duplicate_rate: float = 0.07
    # The rate of actions that are answered with 500 instead of 409.
    error_rate: float = 0.15
    # The rate of accepted actions that are answered with 500.
    done_but_error_rate: float = 0.05
