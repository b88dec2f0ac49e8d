"""`Idempotency-Key`: a POST that is sent twice is carried out once, and both get the same answer.

The key's row is written in the transaction of the change itself, so there is no key without its change, and no
lock that could stick. A store outside of the database, as libraries use, could keep a key without its change, or lose one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any, TypeVar

from django.db import OperationalError, transaction
from django.db.models.functions import Now
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from . import queries
from .database_errors import is_lock_timeout
from .domain_errors import ConflictError, InvalidError, KeyReusedError
from .models import IdempotencyKey
from .requirements import check_requirements, collect_requirements

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
KEPT_HEADERS = ("Location", "ETag")
KEPT_FOR = timedelta(hours=24)
View = TypeVar("View", bound=Callable[..., Response])


def idempotent(method: View) -> View:
    """Make a view's method honour `Idempotency-Key`; see `run_idempotent`.

    Decorate the method that makes the change, and wait for its work (`Prefer: wait`) around it, after the commit:
    inside, the transaction is open and nobody else sees the job yet.
    """

    @wraps(method)
    def answer_once(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        return run_idempotent(request, request.user, lambda: method(view, request, *args, **kwargs))

    return answer_once  # type: ignore[return-value]


def run_idempotent(
    request: Request, user: Any, work: Callable[[], Response], *, shown_once: bool = False
) -> Response:
    """Return the answer of `work`, or of the earlier request with the same `Idempotency-Key`.

    Why it is safe: the row (user, key) is inserted first, in the transaction that `work` then changes things in.
    A twin that comes meanwhile waits inside its own INSERT until the first one ends. If that commits, the twin
    finds the row with its answer; if it is refused or dies, the row is rolled back along with the change, and the
    twin's INSERT goes through: it is the first now.
    So only what was carried out is kept, and a refusal may be tried again under the same key.

    Raises 400 `bad_idempotency_key`; 422 `idempotency_key_reused` for another request under a key that was used;
    409 `in_progress` when the first takes longer than the lock timeout.
    What the first request was required to have (a role, a permission) a replay is required to have too: 404, 403.
    `shown_once` is for answers with a secret: they are not kept, and a replay raises 409 `shown_once`.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return work()
    _validate_key(key)
    request_hash = _hash_request(request)
    with transaction.atomic():
        row_id = claim_key(user, key, request_hash)
        if row_id is None:
            return _replay(user, key, request_hash)
        with collect_requirements() as requirements:
            response = work()
        if response.status_code >= 400:
            # A refusal that was returned, not raised: nothing of it may stay, and its key is free again.
            transaction.set_rollback(True)
            return response
        IdempotencyKey.objects.filter(pk=row_id).update(
            status=response.status_code,
            body="" if shown_once else JSONRenderer().render(response.data).decode(),
            shown_once=shown_once,
            headers={name: response[name] for name in KEPT_HEADERS if name in response},
            requirements=[list(requirement) for requirement in sorted(requirements)],
        )
    return response


def delete_old_keys(older_than: timedelta = KEPT_FOR) -> int:
    """Delete the keys whose time is over, and return how many. To be called now and then by a schedule.

    A key that is in use right now is not deleted: its row is not committed, so nobody else sees it.
    """
    deleted, _by_model = IdempotencyKey.objects.filter(created_at__lt=Now() - older_than).delete()
    return deleted


def _validate_key(key: str) -> None:
    if not (1 <= len(key) <= 255 and key.isascii() and key.isprintable() and key.strip()):
        raise InvalidError(
            "bad_idempotency_key",
            _("An Idempotency-Key has 1 to 255 printable ASCII characters; a random UUID is a good one."),
        )


def _hash_request(request: Request) -> str:
    body = json.dumps(request.data, sort_keys=True, default=str)
    parts = [request.method or "", request.get_full_path(), request.headers.get("X-Tenant", ""), body]
    return salted_hmac("portal.api.idempotency", "\n".join(parts), algorithm="sha256").hexdigest()


def claim_key(user: Any, key: str, request_hash: str) -> int | None:
    """Insert the key's row and return its id; None when there is one already. Waits for a first one still at work."""
    try:
        return queries.insert_idempotency_key(user.pk, key, request_hash)
    except OperationalError as error:
        if is_lock_timeout(error):
            raise ConflictError(
                "in_progress",
                _("The first request with this key is still being processed. Try again in a moment."),
                retry_after=1,
            ) from None
        raise


def _replay(user: Any, key: str, request_hash: str) -> Response:
    first = IdempotencyKey.objects.filter(user=user, key=key).first()
    if first is None:
        # It was forgotten between the two statements: it was more than a day old.
        raise ConflictError(
            "in_progress", _("The key has just expired. Send the request again."), retry_after=1
        )
    if first.request_hash != request_hash:
        raise KeyReusedError(
            "idempotency_key_reused",
            _("This Idempotency-Key was used for another request. Use a new one."),
        )
    # About the tenant of that time, whichever one this request would be for.
    check_requirements(user, first.requirements)
    if first.shown_once:
        raise ConflictError(
            "shown_once",
            _(
                "An earlier request with this key succeeded, and its answer holds a secret that is shown only once."
            ),
        )
    body = json.loads(first.body) if first.body else None
    return Response(body, status=first.status, headers={**first.headers, REPLAYED: "true"})
