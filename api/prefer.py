"""`Prefer: wait=N` (RFC 7240): respond when the job has ended, if that happens in time."""

from __future__ import annotations

from rest_framework.request import Request

MAX_WAIT_SECONDS = 30


def parse_preferred_wait(request: Request) -> int:
    """Return how many seconds the caller prefers to wait; 0 without a preference.

    A malformed or unknown preference is ignored, as the RFC requires; of several, the first counts.
    """
    for preference in request.headers.get("Prefer", "").split(","):
        # What follows a semicolon is a parameter of the preference; `wait` has none.
        name, _equals, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "wait":
            value = value.strip()
            if len(value) > 1 and value[0] == value[-1] == '"':
                value = value[1:-1]
            if value.isascii() and value.isdigit():
                return min(int(value[:9]), MAX_WAIT_SECONDS)
            return 0
    return 0
