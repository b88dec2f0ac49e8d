"""The sessions of a user, as the user sees and ends them.

Django keeps a session under its key, and knows neither its user nor its browser. A row of `UserSession` beside it has both.
The row is written when the session begins, changes or gets another key, and else at most every few minutes.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import structlog
from django.contrib.sessions.models import Session
from django.db import DatabaseError, transaction
from django.db.models import CharField, Exists, Func, OuterRef
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone

from .client_address import UNKNOWN, client_address
from .models import LAST_USED_PRECISION, UserSession
from .user_agents import MAX_LENGTH

log = structlog.get_logger(__name__)

# The sessions whose use this process has recorded, by digest, and when. Losing them costs one write for each session.
_recorded: dict[str, float] = {}
MAX_RECORDED = 20_000
ADDRESS_LENGTH = 64
# Where a session keeps the name of the session at the identity provider that it was opened with.
PROVIDER_SESSION_KEY = "provider_session"


class KeyDigest(Func):
    """The digest of a session's key, computed by the database."""

    template = "encode(sha256(%(expressions)s::bytea), 'hex')"
    output_field = CharField()


def digest_session_key(key: str | None) -> str:
    """Return the digest under which the session of a key is listed; "" without a key."""
    return sha256(key.encode()).hexdigest() if key else ""


class SessionRecordMiddleware:
    """Keep the rows of sessions in step with Django's sessions. It comes after the middleware of authentication."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request."""
        before = digest_session_key(request.session.session_key)
        # Before the view, so that the list has the session in which it is read.
        if before and request.user.is_authenticated:
            _try_to_write(lambda: _record_use(request, before))
        response = self.get_response(request)
        after = digest_session_key(request.session.session_key)
        if after != before:
            _try_to_write(lambda: _follow_key(request, before, after))
        elif after and request.session.modified and request.user.is_authenticated:
            _try_to_write(lambda: _write(request, after, with_expiry=True))
        return response


def _try_to_write(write: Callable[[], None]) -> None:
    """Write rows of sessions. A request must not fail for the sake of a list."""
    try:
        with transaction.atomic():
            write()
    except DatabaseError as error:
        log.warning("session_not_recorded", error=str(error))


def _record_use(request: HttpRequest, digest: str) -> None:
    """Record the use of a session, at most once in `LAST_USED_PRECISION`."""
    now = time.monotonic()
    last = _recorded.get(digest)
    if last is not None and now - last < LAST_USED_PRECISION.total_seconds():
        return
    if len(_recorded) >= MAX_RECORDED:
        _recorded.clear()
    _write(request, digest, with_expiry=False)
    _recorded[digest] = now


def _write(request: HttpRequest, digest: str, *, with_expiry: bool) -> None:
    """Write the row of a session. Without `with_expiry`, a row that exists keeps its end: only a change moves the end."""
    user: Any = request.user
    address = client_address(request)
    row = UserSession(
        user_id=user.pk,
        key_digest=digest,
        credentials_epoch=user.credentials_epoch,
        user_agent=request.headers.get("User-Agent", "").replace("\x00", "")[:MAX_LENGTH],
        address="" if address == UNKNOWN else address[:ADDRESS_LENGTH],
        expires_at=request.session.get_expiry_date(),
        provider_session=request.session.get(PROVIDER_SESSION_KEY, ""),
    )
    changed = ["provider_session", "user_id", "credentials_epoch", "user_agent", "address", "last_used_at"]
    UserSession.objects.bulk_create(
        [row],
        update_conflicts=True,
        unique_fields=["key_digest"],
        update_fields=[*changed, "expires_at"] if with_expiry else changed,
    )


def _follow_key(request: HttpRequest, before: str, after: str) -> None:
    """Follow a session whose key has changed: it has begun, ended, or got another key, as after a change of the password."""
    user: Any = request.user
    own = UserSession.objects.filter(key_digest=before)
    if not after or not user.is_authenticated:
        if before:
            own.delete()
        return
    if before:
        own.filter(user_id=user.pk).update(key_digest=after)
        own.delete()
    _write(request, after, with_expiry=True)


def end_session(user: Any, session_id: UUID) -> bool:
    """End a session of a user; return whether there was one. Its next request is one of a user who has not signed in."""
    with transaction.atomic():
        row = UserSession.objects.select_for_update().filter(user_id=user.pk, id=session_id).first()
        if row is None:
            return False
        _delete_sessions([row.key_digest])
        row.delete()
    log.info("session_ended", username=user.get_username(), session_id=str(session_id))
    return True


def end_other_sessions(user: Any, key: str | None) -> int:
    """End all sessions of a user except for the one with this key; return their number."""
    with transaction.atomic():
        others = UserSession.objects.select_for_update().filter(user_id=user.pk)
        digests = dict(others.exclude(key_digest=digest_session_key(key)).values_list("key_digest", "id"))
        ended = UserSession.objects.usable(user).filter(id__in=digests.values()).count()
        _delete_sessions(digests)
        UserSession.objects.filter(id__in=digests.values()).delete()
    log.info("other_sessions_ended", username=user.get_username(), count=ended)
    return ended


def end_provider_sessions(
    *, user_id: UUID | None, provider_session: str, begun_before: datetime
) -> dict[UUID, int]:
    """End sessions that were opened with an identity provider; return their number by user.

    Those of `provider_session`, the provider's own session. Where no session has this name, or it is empty, all of the user.
    """
    with transaction.atomic():
        rows = UserSession.objects.select_for_update().filter(created_at__lte=begun_before)
        if user_id is not None:
            rows = rows.filter(user_id=user_id)
        found = list(rows.filter(provider_session=provider_session)) if provider_session else []
        if not found and user_id is not None:
            # A session whose name is known is another one, and stays if this one is named.
            found = list(rows.filter(provider_session="") if provider_session else rows)
        _delete_sessions([row.key_digest for row in found])
        UserSession.objects.filter(id__in=[row.id for row in found]).delete()
    return dict(Counter(row.user_id for row in found))


def _delete_sessions(digests: Collection[str]) -> None:
    """Delete Django's sessions. They are searched by the digest of their key, which takes milliseconds in 10,000 of them."""
    if digests:
        alive = Session.objects.filter(expire_date__gt=timezone.now())
        alive.alias(digest=KeyDigest("session_key")).filter(digest__in=list(digests)).delete()


def delete_ended_sessions() -> None:
    """Delete Django's expired sessions, and the rows of sessions that have expired or are gone."""
    now = timezone.now()
    Session.objects.filter(expire_date__lte=now).delete()
    UserSession.objects.filter(expires_at__lte=now).delete()
    alive = Session.objects.alias(digest=KeyDigest("session_key")).filter(digest=OuterRef("key_digest"))
    # A session that has just begun may not be saved yet.
    settled = UserSession.objects.filter(created_at__lt=now - LAST_USED_PRECISION)
    settled.filter(~Exists(alive)).delete()
