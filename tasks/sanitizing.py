"""Sanitizing of the results and the data of steps, so that the database can store them.

They contain texts from clouds, hosts and programs. PostgreSQL refuses NUL and lone surrogates in a text, and the driver
refuses a dictionary instead of a text. A job whose outcome cannot be written would never end, and would keep its locks.
"""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any, TypeVar

from api.messages import UNSTORABLE, Message, to_message

# The same characters as `json.dumps` writes them. A text that only looks like this is sanitized without an effect.
UNSTORABLE_IN_JSON = re.compile(r"\\u(?:0000|d[89a-f][0-9a-f]{2})")
AnyResult = TypeVar("AnyResult")


def sanitize_text(value: object) -> str:
    """Return any value as a text that the database can store. Never raises. A message stays one: its parameters can be stored."""
    if not isinstance(value, str):
        try:
            value = to_message(value)
        except Exception:  # noqa: BLE001 - `__str__` may raise anything, and the job has to end.
            value = f"<{type(value).__name__}>"
    if isinstance(value, Message):
        return value
    return UNSTORABLE.sub("\ufffd", value) if UNSTORABLE.search(value) else value


def sanitize_data(data: dict[str, Any]) -> None:
    """Convert a job's data in place, so that a JSON column can store it; other values become texts."""
    try:
        text = json.dumps(data)
    except (TypeError, ValueError, RecursionError):
        text = ""
    if text and not UNSTORABLE_IN_JSON.search(text) and "NaN" not in text and "Infinity" not in text:
        return
    cleaned = {sanitize_text(key): _sanitize(value) for key, value in data.items()}
    data.clear()
    data.update(cleaned)


def sanitize_result(result: AnyResult) -> AnyResult:
    """Return a step's result with `code` and `message` as texts that can be stored."""
    texts = {
        name: sanitize_text(getattr(result, name)) for name in ("code", "message") if hasattr(result, name)
    }
    if all(getattr(result, name) is texts[name] for name in texts):
        return result
    return dataclasses.replace(result, **texts)  # type: ignore[type-var]


def _sanitize(value: Any, depth: int = 0) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)  # noqa: PLR0124 - NaN.
    if depth < 50 and isinstance(value, dict):
        return {sanitize_text(key): _sanitize(item, depth + 1) for key, item in value.items()}
    if depth < 50 and isinstance(value, list | tuple):
        return [_sanitize(item, depth + 1) for item in value]
    return sanitize_text(value)
