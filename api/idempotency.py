"""`Idempotency-Key`: a POST that is sent twice is carried out once, and both requests get the same response.

The key's row is written in the transaction of the change itself, so there is no key without its change, and no lock that a
crash could leave. A store outside of the database could have one without the other.
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
from .deferral import DeferredError, deferred_response
from .domain_errors import ConflictError, InvalidError, KeyReusedError
from .models import IdempotencyKey
from .requirements import check_requirements, collect_requirements

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
STORED_HEADERS = ("Location", "ETag")
KEY_RETENTION = timedelta(hours=24)
View = TypeVar("View", bound=Callable[..., Response])


def idempotent(method: View) -> View:
    """Make a view's method honour `Idempotency-Key`; see `run_idempotent`.

    Decorate the method that makes the change, and wait for its job (`Prefer: wait`) outside of it, after the commit: no worker
    sees the job before.
    """

    @wraps(method)
    def run_once(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        return run_idempotent(request, request.user, lambda: method(view, request, *args, **kwargs))

    return run_once  # type: ignore[return-value]


def run_idempotent(
    request: Request, user: Any, work: Callable[[], Response], *, shown_once: bool = False
) -> Response:
    """Return the response of `work`, or of the earlier request with the same `Idempotency-Key`.

    It is safe because the row (user, key) is inserted first, in the transaction of `work`. A simultaneous request waits in its
    own INSERT until the first one ends. If that commits, the second finds the row with the response; if it is refused or
    dies, the row is rolled back with the change, and the second is carried out.
    So only requests that were carried out are kept, and a refused one may be repeated under the same key.

    Raises 400 `bad_idempotency_key`; 422 `idempotency_key_reused` for another request under a key that was used;
    409 `in_progress` when the first takes longer than the lock timeout.
    A replay requires the roles and permissions that the first request required: 404, 403.
    `shown_once` is for responses with a secret: they are not stored, and a replay raises 409 `shown_once`.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return _run_or_defer(work)
    _validate_key(key)
    request_hash = _hash_request(request)
    with transaction.atomic():
        row_id = claim_key(user, key, request_hash)
        if row_id is None:
            return _replay(user, key, request_hash)
        with collect_requirements() as requirements:
            response = _run_or_defer(work)
        if response.status_code >= 400:
            # A refusal that was returned, not raised: it must leave nothing, and its key is free again.
            transaction.set_rollback(True)
            return response
        IdempotencyKey.objects.filter(pk=row_id).update(
            status=response.status_code,
            body="" if shown_once else JSONRenderer().render(response.data).decode(),
            shown_once=shown_once,
            headers={name: response[name] for name in STORED_HEADERS if name in response},
            requirements=[list(requirement) for requirement in sorted(requirements)],
        )
    return response


def _run_or_defer(work: Callable[[], Response]) -> Response:
    """Return the response of `work`; 202 with the stored change when `work` was deferred."""
    try:
        return work()
    except DeferredError as deferred:
        return deferred_response(deferred)


def delete_old_keys(older_than: timedelta = KEY_RETENTION) -> int:
    """Delete old keys; return their number. A schedule calls it.

    A key that is in use is not deleted: its row is not committed, so this transaction does not see it.
    """
    deleted, _by_model = IdempotencyKey.objects.filter(created_at__lt=Now() - older_than).delete()
    return deleted


def _validate_key(key: str) -> None:
    if not (1 <= len(key) <= 255 and key.isascii() and key.isprintable() and key.strip()):
        raise InvalidError(
            "bad_idempotency_key",
            _("An Idempotency-Key has 1 to 255 printable ASCII characters; use a random UUID."),
        )


def _hash_request(request: Request) -> str:
    body = json.dumps(request.data, sort_keys=True, default=str)
    identity = [request.method or "", request.get_full_path(), request.headers.get("X-Tenant", ""), body]
    return salted_hmac("portal.api.idempotency", "\n".join(identity), algorithm="sha256").hexdigest()


def claim_key(user: Any, key: str, request_hash: str) -> int | None:
    """Insert the key's row and return its id; None when there is one already. Waits for a request that holds the key."""
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
        # It was deleted between the two statements, because it had expired.
        raise ConflictError(
            "in_progress", _("The key has just expired. Send the request again."), retry_after=1
        )
    if first.request_hash != request_hash:
        raise KeyReusedError(
            "idempotency_key_reused",
            _("This Idempotency-Key was used for another request. Use a new one."),
        )
    # The requirements concern the tenant of the first request, whatever tenant this one names.
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
