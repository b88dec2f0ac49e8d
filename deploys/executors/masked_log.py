"""Log lines of a deployment: secrets masked, size bounded."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable

from .untrusted_text import UNPRINTABLE, decode_escaped

MASK = "***"
LINE_CHARACTERS = 2_000
# The part of a line that is examined. Hosts may print anything: no rule below may take long for any text of this length.
MAX_READ_CHARACTERS = 4 * LINE_CHARACTERS
LOG_CHARACTERS = 200_000
# Shorter texts occur in ordinary output, and protect nothing.
MIN_SECRET_LENGTH = 6

KEY_BEGIN = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
KEY_END = re.compile(r"-----END [A-Z ]*PRIVATE KEY-----")
MASK_RULES = (
    # https://user:password@host
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]{0,20}://)[^\s/@\"']{1,500}@"), rf"\1{MASK}@"),
    # The query of any address: signatures of object stores have a dozen names.
    (re.compile(r"(?i)\b(https?://[^\s?\"'<>]+)\?[^\s\"'<>]+"), rf"\1?{MASK}"),
    (re.compile(r"(?i)\b(authorization|x-auth-token|cookie)(\"?'?\s{0,4}[:=]\s{0,4}).+"), rf"\1\2{MASK}"),
    (re.compile(r"(?i)\b(bearer|basic)\s{1,4}[A-Za-z0-9._~+/=-]{8,}"), rf"\1 {MASK}"),
    (
        re.compile(
            r"(?i)((?:passw(?:or)?d|passwd|passphrase|secret|token|api_?-?key|access_?-?key|private_?-?key|"
            r"credential|signature)[\w.-]{0,40}[\"']?\s{0,4}[=:]\s{0,4})(\"[^\"]*\"|'[^']*'|[^\s,;&}]+)"
        ),
        rf"\1{MASK}",
    ),
)


class MaskedLog:
    """A log that passes lines on at once, and keeps the first quarter and the last three quarters of its size.

    The end usually explains a failure. Not safe for several threads: each host has its own log.
    """

    def __init__(self, on_line: Callable[[str], None], secrets: Iterable[str] = ()) -> None:
        self._on_line = on_line
        # The longest first: masking a secret that is part of another would leave the rest of the other.
        self._secrets = sorted(
            {text.strip() for text in secrets if len(text.strip()) >= MIN_SECRET_LENGTH},
            key=len,
            reverse=True,
        )
        self._inside_key = False
        self._first: list[str] = []
        self._last: deque[str] = deque()
        self._size = self._size_of_last = 0
        self._dropped = 0

    def mask(self, text: str) -> str:
        """Return the text with its secrets masked."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        text = text[:MAX_READ_CHARACTERS]
        for rule, replacement in MASK_RULES:
            text = rule.sub(replacement, text)
        return text

    def add(self, text: str) -> None:
        """Add a line, or several in one text."""
        for raw in decode_escaped(text).splitlines():
            line = self._drop_private_keys(UNPRINTABLE.sub("", raw))
            if line is not None:
                self._append_line(self.mask(line)[:LINE_CHARACTERS])

    def lines(self) -> tuple[str, ...]:
        """Return the kept lines; a gap is marked with the number of dropped lines."""
        gap = [f"... {self._dropped} lines are left out ..."] if self._dropped else []
        return (*self._first, *gap, *self._last)

    def _drop_private_keys(self, line: str) -> str | None:
        # Programs on the host may print other private keys than the portal's.
        if begins := KEY_BEGIN.search(line):
            self._inside_key = not KEY_END.search(line)
            return line[: begins.start()] + MASK
        if self._inside_key:
            self._inside_key = not KEY_END.search(line)
            return None
        return line

    def _append_line(self, line: str) -> None:
        size = len(line) + 1
        self._size += size
        if self._size <= LOG_CHARACTERS // 4:
            self._first.append(line)
        else:
            self._last.append(line)
            self._size_of_last += size
            while self._size_of_last > LOG_CHARACTERS // 4 * 3:
                self._size_of_last -= len(self._last.popleft()) + 1
                self._dropped += 1
        if self._size <= LOG_CHARACTERS:
            self._on_line(line)
