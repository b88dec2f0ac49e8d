"""The names of the fields of JSON log lines: those of the Elastic Common Schema (ECS), which log servers know.

Code logs short names (`log.warning("login_failed", username=…)`). A name without an equivalent in ECS gets the prefix
`portal.`, because a text called `error` or `user` would not fit ECS, where these are objects.
"""

from __future__ import annotations

import sys
import traceback
from typing import Any

ECS_VERSION = "8.11.0"
SERVICE_NAME = "portal"
PREFIX = "portal."
NAMES = {
    "request_id": "http.request.id",
    "route": "http.route",
    "user_agent": "user_agent.original",
    "user_id": "user.id",
    "username": "user.name",
    "ip": "client.ip",
    "address": "client.ip",
    "trace_id": "trace.id",
    "span_id": "span.id",
    "error": "error.message",
    "trace": "error.stack_trace",
    "func_name": "log.origin.function",
    "pathname": "log.origin.file.name",
    "lineno": "log.origin.file.line",
    "process": "process.pid",
    "thread_name": "process.thread.name",
}
# ECS holds ids as keywords. One field must not be a number in one line and a text in another.
KEYWORDS = frozenset({"user.id", "error.message"})


def add_trace(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Add the ids of the present span, if tracing is on. OpenTelemetry is not imported for that."""
    if (opentelemetry := sys.modules.get("opentelemetry.trace")) is not None:
        context = opentelemetry.get_current_span().get_span_context()
        if context.is_valid:
            event["trace_id"], event["span_id"] = f"{context.trace_id:032x}", f"{context.span_id:016x}"
    return event


def describe_exception(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Replace an exception by its type, message and traceback, which has no local variables: these may contain secrets."""
    exc_info = event.pop("exc_info", None)
    if isinstance(exc_info, BaseException):
        exc_info = (type(exc_info), exc_info, exc_info.__traceback__)
    elif exc_info and not isinstance(exc_info, tuple):
        exc_info = sys.exc_info()
    if exc_info and exc_info[0] is not None:
        event["error.type"] = exc_info[0].__name__
        event.setdefault("error", _read_message(exc_info[1]))
        event["trace"] = "".join(traceback.format_exception(*exc_info))
    return event


def _read_message(exception: Any) -> str:
    try:
        return str(exception)
    except Exception:  # noqa: BLE001 - `str` may raise anything, and the line must still be written.
        return f"<{type(exception).__name__} that cannot be shown>"


def name_fields(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Give every field of an event its name of ECS, in the order that ECS asks for."""
    named: dict[str, Any] = {
        "@timestamp": event.pop("timestamp", None),
        "log.level": event.pop("level", None),
        "message": event.pop("event", ""),
        "ecs.version": ECS_VERSION,
        "service.name": SERVICE_NAME,
        "log.logger": event.pop("logger", None),
    }
    if isinstance(request := event.pop("request", None), str):
        # django-structlog writes method and address in one text.
        method, _space, address = request.partition(" ")
        named |= {"http.request.method": method, "url.original": address}
    if isinstance(milliseconds := event.pop("duration_ms", None), int | float):
        named["event.duration"] = int(milliseconds * 1_000_000)
    code = event.pop("code", None)
    if code is not None:
        named["http.response.status_code" if isinstance(code, int) else "error.code"] = code
    for name, value in event.items():
        field = NAMES.get(name, name if name.startswith("error.") else PREFIX + name)
        named[field] = str(value) if field in KEYWORDS and value is not None else value
    return named
