"""The reasons against a request about many objects, as messages."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib import messages

from api.domain_errors import DomainError
from tenants.scoped_pages import PageRequest

MAX_NAMED = 10


def show_refusals(request: PageRequest, refused: Iterable[tuple[str, DomainError]]) -> None:
    """Show each reason once, with the names of the first objects that it is about."""
    names_by_reason: dict[str, list[str]] = {}
    for name, refusal in refused:
        names_by_reason.setdefault(str(refusal.detail), []).append(name)
    for reason, names in names_by_reason.items():
        more = " …" if len(names) > MAX_NAMED else ""
        messages.error(request, f"{reason} ({', '.join(names[:MAX_NAMED])}{more})")
