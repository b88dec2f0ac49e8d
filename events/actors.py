"""The actor of a change: the user of the present request, told to the database together with the change.

The triggers that write events run in the database, which knows nothing of users. The actor travels in a setting of the
transaction, `portal.actor`, in the same message as the statement, so it costs no round trip. It ends with the transaction;
therefore it is correct behind PgBouncer too, where the next transaction may be somebody else's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from http import HTTPStatus
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from api.client_address import UNKNOWN, client_address
from api.models import ApiToken
from api.request_id import current_request_id

from .refusals import record_refusal
from .tracking import find_tracked_table

# Jobs have an event of their own (migration `record_changes`); their steps are inserted before them in the same message.
JOB_TABLES = frozenset({"tasks_step", "tasks_job"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_WRITE = re.compile(r'(?:INSERT INTO|UPDATE|DELETE FROM) "?(?P<table>\w+)"?')
_request: ContextVar[HttpRequest | None] = ContextVar("events_request", default=None)


class ActorMiddleware:
    """Keep the request at hand until its response is complete; its user is read when something is changed."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request."""
        with acting_request(request):
            response = self.get_response(request)
            if response.status_code == HTTPStatus.FORBIDDEN and request.method not in SAFE_METHODS:
                actor = describe_actor()
                if "actor_id" in actor:
                    record_refusal(request, actor)
        return response


@contextmanager
def acting_request(request: HttpRequest | None) -> Iterator[None]:
    """Attribute the changes within the block to a request."""
    token = _request.set(request)
    try:
        yield
    finally:
        _request.reset(token)


def describe_actor() -> dict[str, Any]:
    """Return the columns of an event that tell its actor: the user of the present request, or the system."""
    request = _request.get()
    actor: dict[str, Any] = {"request_id": current_request_id()[:128]}
    if request is None:
        return actor
    address = client_address(request)
    actor["address"] = "" if address == UNKNOWN else address[:64]
    user: Any = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return actor
    actor |= {"actor_type": "user", "actor_id": str(user.pk), "actor_name": user.get_username()[:150]}
    # REST framework stores the credentials of a request on Django's request as well.
    token = getattr(request, "auth", None)
    if isinstance(token, ApiToken):
        actor |= {"actor_type": "token", "token_name": token.name[:150]}
    return actor


def _is_told(found: re.Match[str]) -> bool:
    """Return whether the trigger of the table that a statement writes reads the actor."""
    table = found["table"]
    return find_tracked_table(table) is not None or (table in JOB_TABLES and found[0].startswith("INSERT"))


def _tell_actor(execute: Any, sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """Send the actor along with a statement that changes a tracked table or inserts a job."""
    if not many and isinstance(sql, str) and (found := _WRITE.match(sql)) and _is_told(found):
        if params is None:
            sql, params = sql.replace("%", "%%"), ()
        sql = f"SELECT set_config('portal.actor', %s, true); {sql}"
        params = (json.dumps(describe_actor()), *params)
    return execute(sql, params, many, context)


def prepare_connection(connection: BaseDatabaseWrapper, **_kwargs: Any) -> None:
    """Let a new connection tell the actor of its changes."""
    if _tell_actor not in connection.execute_wrappers:
        connection.execute_wrappers.append(_tell_actor)
