"""The sentences of sync logs. A line is stored as a code with parameters, so that each reader gets it in their own language.

It is also stored as a text, in the language of the person who requested the sync: for the API, for the release before, and
for lines without a code, as those with a cloud's own message.
"""

from __future__ import annotations

from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from .models import SyncLog, SyncLogLine

_SENTENCES: dict[str, str | Promise] = {
    "page": _("%(region)s: page %(number)s, %(seen)s so far; %(created)s new, %(updated)s changed."),
    "no_id": _("%(region)s: an object without an ID was listed, so no resource counts as missing."),
    "unreadable": _("%(region)s: unreadable object: %(object)s"),
    "complete": _("%(region)s: complete; %(missing)s not found, %(expired)s deleted in cloud."),
    "on_hold": _(
        "%(region)s: complete; %(missing)s not found, %(expired)s deleted in cloud."
        " %(held_back)s of %(total)s disappeared from the cloud. Their deletion is on hold until you confirm it."
    ),
    "ended": _("Ended: %(state)s. %(words)s"),
}
_STATES: dict[str, str | Promise] = {state.value: state.label for state in SyncLog.State}


def format_sentence(code: str, params: dict[str, Any]) -> str:
    """Return the sentence of a code in the active language. Raises `LookupError` for a code or parameters of another release."""
    shown = {**params, "state": _STATES[params["state"]]} if "state" in params else params
    return (str(_SENTENCES[code]) % shown).strip()


def format_line(line: SyncLogLine) -> str:
    """Return a line in the active language; as it was stored if it has no code, or one of another release."""
    if not line.code:
        return line.text
    try:
        return format_sentence(line.code, line.params)
    except (LookupError, TypeError, ValueError):
        return line.text
