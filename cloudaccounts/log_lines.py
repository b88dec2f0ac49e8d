"""The sentences of sync logs. A line is stored as a message (api/messages.py), so each reader gets it in their own language.

The release before has stored a line as the code of its sentence with parameters, beside a text in one language.
"""

from __future__ import annotations

from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_noop as _

from api.messages import Message, message

from .models import SyncLog, SyncLogLine

# Marked for translation, and looked up when a sentence is built.
_SENTENCES: dict[str, str] = {
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


def build_sentence(code: str, params: dict[str, Any]) -> Message:
    """Return the sentence of a code. Raises `LookupError` for a code or parameters of another release."""
    shown = {**params, "state": _STATES[params["state"]]} if "state" in params else params
    return message(_SENTENCES[code]) % shown


def format_line(line: SyncLogLine) -> str:
    """Return a line in the active language; the text of a line of the release before if its code is not known."""
    if not line.code:
        return line.text.strip()  # "Ended: success. " without further words.
    try:
        return build_sentence(line.code, line.params).strip()
    except (LookupError, TypeError, ValueError):
        return line.text
