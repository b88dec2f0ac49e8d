"""Running a step's own code, and what is said of it."""

from __future__ import annotations

import traceback
from typing import Any

from django.db import connection
from django.utils.translation import gettext as _

from ..command import Done, Result, step_title
from ..leases import LeaseLostError
from ..models import AsyncTask, Step
from ..sanitizing import sanitize_data, sanitize_result, sanitize_text
from .claims import Claim


def call(claim: Claim, function: Any) -> tuple[Result | None, str]:
    """Run a step's code with no transaction open; None and the traceback when the code itself is wrong.

    Whatever the step says or remembers can be stored afterwards: see `sanitizing.py`.
    """
    if connection.in_atomic_block:
        raise RuntimeError("A step would run inside a transaction; advance() must be called outside of any.")
    result: Result | None
    trace = ""
    try:
        result = function(claim.command) or Done()
    except LeaseLostError:
        raise  # Nothing more may be written under this claim, and nothing has to be.
    except Exception as error:  # noqa: BLE001 - whatever a step raises ends or delays its job, never its worker.
        trace = sanitize_text(traceback.format_exc(limit=30))
        result = claim.command.translate(error)
    sanitize_data(claim.job.data)
    return sanitize_result(result), trace


def our_fault() -> str:
    """What people read of an exception of ours; staff read its traceback."""
    return _("An error of the portal itself.")


def last_word(step: Step, watched: AsyncTask | None = None) -> dict[str, str]:
    last = (
        _("The cloud last reported %s.") % watched.last_status
        if watched and watched.last_status
        else step.message
    )
    return {"step": step_title(step.job.kind, step.name), "last": last}


def back_off(tries: int, *, first: float = 1.0, most: float = 60.0) -> float:
    """Seconds before the next of so many tries: doubling, bounded."""
    return float(min(most, first * 2 ** min(tries, 16)))
