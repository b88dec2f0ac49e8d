"""Sanitizing of what steps return and remember, so that the database can store it.

Steps repeat what clouds, hosts and programs told them. PostgreSQL refuses NUL and halves of surrogate pairs in a text, and
the driver a dictionary where a text belongs; a job whose outcome cannot be written would never end, and keep its locks.
"""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any, TypeVar

REFUSED = re.compile("[\x00\ud800-\udfff]")
# As `json.dumps` writes them; a text that only looks so is sanitized in vain, and stays as it is.
REFUSED_IN_JSON = re.compile(r"\\u(?:0000|d[89a-f][0-9a-f]{2})")
AnyResult = TypeVar("AnyResult")


def sanitize_text(value: object) -> str:
    """Return any value as a text that the database takes. Never raises."""
    if not isinstance(value, str):
        try:
            value = str(value)
        except Exception:  # noqa: BLE001 - whatever it is, a job has to end with it.
            value = f"<{type(value).__name__}>"
    return REFUSED.sub("\ufffd", value) if REFUSED.search(value) else value


def sanitize_data(data: dict[str, Any]) -> None:
    """Make a job's data fit for a JSON column; what is no JSON value becomes a text."""
    try:
        text = json.dumps(data)
    except (TypeError, ValueError, RecursionError):
        text = ""
    if text and not REFUSED_IN_JSON.search(text) and "NaN" not in text and "Infinity" not in text:
        return
    cleaned = {sanitize_text(key): _sanitize(value) for key, value in data.items()}
    data.clear()
    data.update(cleaned)


def sanitize_result(result: AnyResult) -> AnyResult:
    """Return a step's result with texts where texts belong."""
    texts = {
        name: sanitize_text(getattr(result, name)) for name in ("code", "message") if hasattr(result, name)
    }
    if all(type(getattr(result, name)) is str and getattr(result, name) == texts[name] for name in texts):
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
