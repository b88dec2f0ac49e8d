"""The answers of the portal to its clients: how long each took, and the secrets that it must not contain."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests

TIMEOUT_SECONDS = 20
_ID_IN_PATH = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|(?<=/)\d+(?=/|$)")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to one request. The status is 0 if none came."""

    # By `time.monotonic()`, when the request was sent.
    at: float
    kind: str
    status: int
    seconds: float


@dataclass
class AnswerLog:
    """The answers of all clients of a campaign. May be used by several threads."""

    # Returns the names of the secrets in a text.
    find_secrets: Callable[[bytes], list[str]] = lambda _text: []
    answers: list[Answer] = field(default_factory=list)
    # By secret and kind of request: how many answers contained it.
    leaks: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(
        self, session: requests.Session, method: str, url: str, **options: Any
    ) -> requests.Response | None:
        """Send a request, record its answer, and return that; None if none came."""
        at = time.monotonic()
        try:
            answer = session.request(method, url, timeout=TIMEOUT_SECONDS, **options)
        except requests.RequestException:
            answer = None
        self.record(method, url, answer, at)
        return answer

    def record(self, method: str, url: str, answer: requests.Response | None, at: float) -> None:
        """Record an answer, or that none came, to a request that was sent `at` this time."""
        kind = f"{method} {_ID_IN_PATH.sub('{id}', urlsplit(url).path)}"
        seconds, status = time.monotonic() - at, answer.status_code if answer is not None else 0
        content = b""
        if answer is not None:
            headers = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
            content = headers.encode() + b"\n" + answer.content
        found = self.find_secrets(content)
        with self._lock:
            self.answers.append(Answer(at, kind, status, seconds))
            self.leaks.update(f"{secret} in an answer to {kind}" for secret in found)
