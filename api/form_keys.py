"""Form keys: a form that is sent twice is carried out once. Each form gets a key of its own with its page.

A second press of the button, a press after coming back with the browser, and two presses at once all send the same key.
The key is claimed in the transaction of the change itself, by the mechanism of `Idempotency-Key` (idempotency.py).
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
    """Note that a form was refused although the answer is a redirect: its key stays free."""
    request.form_was_refused = True  # type: ignore[attr-defined]


class FormKeyMiddleware:
    """Carry out each form with a key once; it stands last, so that whatever else refuses a request comes first."""

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
        """Call the view of a form that has a key; any other is left alone.

        So is a view that looks at the form before its token is checked: it calls `run_form_once` itself.
        """
        if request.method != "POST" or is_for_programs(request.path) or getattr(view, "csrf_exempt", False):
            return None
        return run_form_once(request, lambda: view(request, *args, **named)) if _key_of(request) else None


def run_form_once(request: HttpRequest, work: Callable[[], HttpResponseBase]) -> HttpResponseBase:
    """Return the answer of `work`, which is done once for each key of a form; without a key, each time."""
    key = _key_of(request)
    if not key:
        return work()
    try:
        return _run_once(request, key, work)
    except Exception as error:
        # What is raised below a middleware's own call of a view does not come to the other middleware.
        page = page_for_error(request, error)
        if page is None:
            raise
        return page


def _key_of(request: HttpRequest) -> str:
    """Return the key of a signed-in user's form; empty for any other."""
    key = request.POST.get(FIELD, "")
    return key if _KEY.match(key) and request.user.is_authenticated else ""


def _run_once(request: HttpRequest, key: str, work: Callable[[], HttpResponseBase]) -> HttpResponseBase:
    """Return the answer of `work`; for a form that was carried out before, a redirect to what came of it.

    A form that was carried out is answered with a redirect. Whatever else is the answer (the form again with what is
    wrong with it, or a redirect after `mark_refused`) leaves the key free: the form may be put right and sent again.

    Why it is safe: the key's row is inserted first, in the transaction that `work` changes things in. A twin that comes
    meanwhile waits inside its own INSERT until the first one ends (409 `in_progress` after the lock timeout), and finds
    its result, or becomes the first when that was refused or died.
    """
    digest = _digest(request)
    with transaction.atomic():
        row_id = claim_key(request.user, f"form:{key}", digest)
        if row_id is None:
            return _result_of_first(request, key, digest)
        response = work()
        if response.status_code >= 400:
            transaction.set_rollback(True)
        elif response.status_code != 302 or getattr(request, "form_was_refused", False):
            IdempotencyKey.objects.filter(pk=row_id).delete()
        else:
            IdempotencyKey.objects.filter(pk=row_id).update(
                status=response.status_code, headers={"Location": response["Location"]}
            )
    return response


def _digest(request: HttpRequest) -> str:
    fields = sorted(
        (name, values)
        for name, values in request.POST.lists()
        if name not in {FIELD, "csrfmiddlewaretoken", "version"}
    )
    return salted_hmac(
        "portal.api.form_keys", f"{request.get_full_path()}\n{fields!r}", algorithm="sha256"
    ).hexdigest()


def _result_of_first(request: HttpRequest, key: str, digest: str) -> HttpResponse:
    first = IdempotencyKey.objects.filter(user=cast("Any", request.user), key=f"form:{key}").first()
    if first is None or "Location" not in first.headers:
        raise ConflictError("in_progress", _("The form is being processed. Reload the page in a moment."))
    if first.request_hash == digest:
        messages.info(
            request,
            _(
                "This form was sent before and carried out then; this is what came of it. Nothing was done twice."
            ),
        )
    else:
        messages.warning(
            request,
            _(
                "This form was sent before and carried out then; this is what came of it."
                " What was changed in the form since was not carried out: open the form anew for that."
            ),
        )
    # The target checks access again.
    return HttpResponseRedirect(first.headers["Location"])
