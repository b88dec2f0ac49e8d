"""`Idempotency-Key`: a POST that is sent twice is carried out once, and both get the same answer.

The key's row is written in the transaction of the change itself, so there is no key without its change, and no
lock that could stick.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from django.db import OperationalError, transaction
from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from .errors import LOCK_NOT_AVAILABLE, Refused
from .models import IdempotencyKey

HEADER = "Idempotency-Key"
KEPT_HEADERS = ("Location", "ETag")
View = TypeVar("View", bound=Callable[..., Response])


def idempotent(method: View) -> View:
    """Make a view's method honour `Idempotency-Key`.

    The method runs inside one transaction with the key's row.
    A twin that comes while the first is at work waits on the row's unique key until the first has committed, and
    gets its answer; when the first is refused or dies, its row is rolled back with it, and the twin is the first.
    Only answers that were carried out are kept: a refusal may be tried again under the same key.
    Another request under a key that was used raises 422 `idempotency_key_reused`; a first one that takes longer
    than the lock timeout, 409 `in_progress`.
    """

    @wraps(method)
    def answer_once(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get(HEADER)
        if key is None:
            return method(view, request, *args, **kwargs)
        if not key.strip() or len(key) > 255 or not key.isprintable():
            raise Refused(
                400, "bad_idempotency_key", _("An Idempotency-Key has 1 to 255 printable characters.")
            )
        request_hash = _hash(request)
        with transaction.atomic():
            if not _claim(request, key, request_hash):
                return _replay(request, key, request_hash)
            response = method(view, request, *args, **kwargs)
            IdempotencyKey.objects.filter(user=request.user, key=key).update(
                status=response.status_code,
                body=json.loads(json.dumps(response.data, default=str)),
                headers={name: response[name] for name in KEPT_HEADERS if name in response},
            )
        return response

    return answer_once  # type: ignore[return-value]


def _hash(request: Request) -> str:
    body = json.dumps(request.data, sort_keys=True, default=str)
    text = "\n".join([request.method or "", request.get_full_path(), request.headers.get("X-Tenant", ""), body])
    return hashlib.sha256(text.encode()).hexdigest()


def _claim(request: Request, key: str, request_hash: str) -> bool:
    """Write the key's row; False when it is there already. Waits for a first one that is still at work."""
    row = IdempotencyKey(user=request.user, key=key, request_hash=request_hash)
    try:
        # A conflict is ignored without an error, so the row says who won: only one hash and time can be ours.
        with transaction.atomic():
            IdempotencyKey.objects.bulk_create([row], ignore_conflicts=True)
    except OperationalError as error:
        if getattr(error.__cause__, "pgcode", None) == LOCK_NOT_AVAILABLE:
            raise Refused(
                409, "in_progress", _("The first request under this key is still being carried out."), retry_after=1
            ) from None
        raise
    return IdempotencyKey.objects.filter(user=request.user, key=key, status=None).exists()


def _replay(request: Request, key: str, request_hash: str) -> Response:
    first = IdempotencyKey.objects.get(user=request.user, key=key)
    if first.request_hash != request_hash:
        raise Refused(
            422, "idempotency_key_reused", _("This Idempotency-Key was used for another request; take a new one.")
        )
    return Response(first.body, status=first.status, headers={**first.headers, "Idempotent-Replayed": "true"})
