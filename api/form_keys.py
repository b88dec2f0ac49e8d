"""Form keys: a form that is submitted twice is carried out once. Each rendered form has a key of its own.

A second click on the button, a click after going back in the browser, and two simultaneous clicks all send the same key. The
key is claimed in the transaction of the change itself, as for `Idempotency-Key` (idempotency.py).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any, cast

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _

from .deferral import DeferredError, deferred_page
from .domain_errors import ConflictError
from .errors import page_for_error
from .idempotency import claim_key
from .models import IdempotencyKey
from .page_addresses import is_for_programs

FIELD = "form_key"
_KEY = re.compile(r"[0-9a-f]{32}\Z", re.ASCII)


def new_form_key() -> str:
    """Return a key for a new form."""
    return uuid.uuid4().hex


def mark_refused(request: HttpRequest) -> None:
    """Record that a form was refused although the response is a redirect, so that its key stays free."""
    request.form_was_refused = True  # type: ignore[attr-defined]


class FormKeyMiddleware:
    """Carry out each form with a key once. It is last in `MIDDLEWARE`, so that every other refusal comes first."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request."""
        return self.get_response(request)

    def process_view(
        self,
        request: HttpRequest,
        view: Callable[..., HttpResponseBase],
        args: tuple[Any, ...],
        named: dict[str, Any],
    ) -> HttpResponseBase | None:
        """Call the view of a form that has a key; return None for any other request.

        A view that reads the form before its CSRF token is checked calls `run_form_once` itself.
        """
        if request.method != "POST" or is_for_programs(request.path) or getattr(view, "csrf_exempt", False):
            return None
        return run_form_once(request, lambda: view(request, *args, **named)) if _get_key(request) else None


def run_form_once(request: HttpRequest, work: Callable[[], HttpResponseBase]) -> HttpResponseBase:
    """Call `work` once for each form key and return its response; without a key, call it each time."""
    key = _get_key(request)
    if not key:
        return work()
    try:
        return _run_once(request, key, work)
    except Exception as error:
        # Other middleware does not see an exception of a view that this middleware has called.
        page = page_for_error(request, error)
        if page is None:
            raise
        return page


def _get_key(request: HttpRequest) -> str:
    """Return the key of a signed-in user's form; empty for any other."""
    key = request.POST.get(FIELD, "")
    return key if _KEY.match(key) and request.user.is_authenticated else ""


def _run_once(request: HttpRequest, key: str, work: Callable[[], HttpResponseBase]) -> HttpResponseBase:
    """Return the response of `work`; for a form that was carried out before, a redirect to its result.

    A form that was carried out is answered with a redirect. Any other response (the form with its errors, or a redirect after
    `mark_refused`) leaves the key free, so that the form can be corrected and submitted again.

    It is safe because the key's row is inserted first, in the transaction of `work`. A simultaneous submission waits in its
    own INSERT until the first one ends (409 `in_progress` after the lock timeout). Then it finds the result, or is carried
    out itself if the first one was refused or died.
    """
    digest = _hash_form(request)
    with transaction.atomic():
        row_id = claim_key(request.user, f"form:{key}", digest)
        if row_id is None:
            return _redirect_to_first_result(request, key, digest)
        try:
            response = work()
        except DeferredError as deferred:
            page = deferred_page(request, deferred)
            location = page.headers.get("Location") or page.headers["HX-Redirect"]
            IdempotencyKey.objects.filter(pk=row_id).update(status=302, headers={"Location": location})
            return page
        if response.status_code >= 400:
            transaction.set_rollback(True)
        elif response.status_code != 302 or getattr(request, "form_was_refused", False):
            IdempotencyKey.objects.filter(pk=row_id).delete()
        else:
            IdempotencyKey.objects.filter(pk=row_id).update(
                status=response.status_code, headers={"Location": response["Location"]}
            )
    return response


def _hash_form(request: HttpRequest) -> str:
    fields = sorted(
        (name, values)
        for name, values in request.POST.lists()
        if name not in {FIELD, "csrfmiddlewaretoken", "version"}
    )
    return salted_hmac(
        "portal.api.form_keys", f"{request.get_full_path()}\n{fields!r}", algorithm="sha256"
    ).hexdigest()


def _redirect_to_first_result(request: HttpRequest, key: str, digest: str) -> HttpResponse:
    first = IdempotencyKey.objects.filter(user=cast("Any", request.user), key=f"form:{key}").first()
    if first is None or "Location" not in first.headers:
        raise ConflictError("in_progress", _("The form is being processed. Reload the page in a moment."))
    if first.request_hash == digest:
        messages.info(
            request,
            _("This form was already submitted and carried out; this is the result. Nothing was done twice."),
        )
    else:
        messages.warning(
            request,
            _(
                "This form was already submitted and carried out; this is the result."
                " Later changes to the form were not carried out. Open the form again to submit them."
            ),
        )
    # The target checks access again.
    return HttpResponseRedirect(first.headers["Location"])
