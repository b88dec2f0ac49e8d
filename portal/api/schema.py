"""The OpenAPI document: what every operation shares."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter

PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "description": "Stable, for programs."},
        "errors": {"type": "object", "description": "Reasons by field.", "additionalProperties": True},
        "request_id": {"type": "string"},
    },
}
REFUSALS = {"401": "Not signed in.", "403": "Role too low.", "429": "Too many requests."}
CHANGE_REFUSALS = {"400": "Bad data, by field.", "409": "Wrong state, or busy.", "415": "Not JSON.", "422": "Key reused."}


class Schema(AutoSchema):
    """Adds the shared headers and the problem answers to every operation."""

    def get_override_parameters(self) -> list[Any]:
        """The headers that operations share."""
        headers = []
        if _scoped(self.view):
            headers.append(
                OpenApiParameter(
                    "X-Tenant", str, OpenApiParameter.HEADER, description="The tenant's slug, for who has several."
                )
            )
        if self.method == "POST":
            headers.append(
                OpenApiParameter(
                    "Idempotency-Key", str, OpenApiParameter.HEADER, description="Carried out once for each key."
                )
            )
        return headers

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        """The operation, with its refusals."""
        operation = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        refusals = dict(REFUSALS)
        if "{" in self.path or _scoped(self.view):
            refusals["404"] = "Not there, or not visible."
        if self.method == "GET":
            refusals["400"] = "Unknown or wrong filter."
        else:
            refusals.update(CHANGE_REFUSALS)
        for status, description in sorted(refusals.items()):
            operation["responses"].setdefault(
                status, {"description": description, "content": {"application/problem+json": {"schema": PROBLEM}}}
            )
        return operation


def _scoped(view: Any) -> bool:
    from .scoped_views import ScopedView

    return isinstance(view, ScopedView)

