"""Deferred changes: what a request wants is stored to be decided on, and is not carried out yet.

A service that may not make its change now raises a `DeferredError`. Its own transaction is rolled back like that of any error;
then the layer that answers the request stores the change, in the transaction that also has its `Idempotency-Key` or form key.
So there is no key without what was stored under it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django_htmx.http import HttpResponseClientRedirect
from rest_framework.response import Response


@dataclass(frozen=True, slots=True)
class StoredChange:
    """A change that was stored: the body and the `Location` of an answer, and the page that shows it with a message."""

    body: dict[str, Any]
    location: str
    page: str
    message: str


class DeferredError(Exception, ABC):
    """A change that is not made now, because somebody has to agree first."""

    @abstractmethod
    def store(self) -> StoredChange:
        """Store the change, in the caller's transaction or in one of its own. Raises `DomainError` when it can't be."""


def deferred_response(deferred: DeferredError) -> Response:
    """Store a deferred change, and return 202 with it."""
    stored = deferred.store()
    return Response(stored.body, status=202, headers={"Location": stored.location})


def deferred_page(request: HttpRequest, deferred: DeferredError) -> HttpResponse:
    """Store a deferred change, and return a redirect to its page; a script is told to load that page as a whole."""
    stored = deferred.store()
    messages.info(request, stored.message)
    if request.headers.get("HX-Request"):
        return HttpResponseClientRedirect(stored.page)
    return HttpResponseRedirect(stored.page)
