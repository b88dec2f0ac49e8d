"""`Prefer: wait=N` (RFC 7240): answer when the work has ended, if it ends in time."""

from __future__ import annotations

from rest_framework.request import Request

LONGEST_WAIT_SECONDS = 30


def preferred_wait(request: Request) -> int:
    """How many seconds the caller would wait; 0 when he did not say, or said it wrongly, which is ignored."""
    for preference in request.headers.get("Prefer", "").replace(";", ",").split(","):
        name, _equals, value = preference.partition("=")
        value = value.strip().strip('"')
        if name.strip().lower() == "wait" and value.isascii() and value.isdigit():
            return min(int(value[:9]), LONGEST_WAIT_SECONDS)
    return 0
