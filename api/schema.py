"""The parts of the OpenAPI document that all operations share."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.utils import OpenApiParameter

from .errors import CONTENT_TYPE

TEXTS = {"type": "array", "items": {"type": "string"}}
PROBLEM = {
    "type": "object",
    "description": "Why a request was refused (RFC 9457). Some codes add members, such as `job` and `allowed`.",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "examples": ["/problems/busy"]},
        "title": {"type": "string"},
        "status": {"type": "integer", "examples": [409]},
        "detail": {"type": "string", "description": "For people, in the language of Accept-Language."},
        "code": {"type": "string", "description": "Stable, for programs.", "examples": ["busy"]},
        "errors": {
            "type": "object",
            "description": "Reasons by field, nested as the fields are.",
            "additionalProperties": {
                "anyOf": [TEXTS, {"type": "object"}, {"type": "array", "items": {"type": "object"}}]
            },
        },
        "truncated": {
            "type": "boolean",
            "description": "True when errors were left out or a list was shortened; otherwise absent.",
        },
        "request_id": {"type": "string", "description": "The id of this request in the log."},
    },
    "additionalProperties": True,
}
DESCRIPTIONS = {
    "400": "Some values are not valid; see `errors`.",
    "401": "Not signed in.",
    "403": "The user lacks the permission or the role.",
    "404": "Not found, or not visible to this user.",
    "406": "The format is not supported.",
    "409": "Conflict: wrong state, busy, or taken.",
    "412": "Modified since it was read.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "422": "The Idempotency-Key was used for another request.",
    "429": "Too many requests; see `Retry-After`.",
}


class PortalSchema(AutoSchema):
    """Adds the shared headers and the problem responses to every operation.

    Attributes of a view control it: `tenant_scoped` (it reads `X-Tenant`), `idempotency_key = False` (its POST takes no
    `Idempotency-Key`), `honours_if_match` (its PATCH and DELETE read `If-Match`), `may_be_held_back` (its 202 may have the
    stored request in place of what it would have changed).
    """

    def _map_basic_serializer(self, serializer: Any, direction: Any) -> Any:
        """Describe a serializer. Its `Meta.optional_fields` are not in every answer, so none of them is required."""
        described: Any = super()._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]
        optional: frozenset[str] = getattr(getattr(serializer, "Meta", None), "optional_fields", frozenset())
        if described and optional and "required" in described:
            described["required"] = [name for name in described["required"] if name not in optional]
        return described

    def get_override_parameters(self) -> list[Any]:
        """Return the headers that operations share."""
        headers = []
        if _is_tenant_scoped(self.view):
            headers.append(
                _build_header(
                    "X-Tenant",
                    "The tenant's slug. Required of users who belong to several tenants; staff see all tenants without it.",
                )
            )
        if self._takes_idempotency_key():
            headers.append(
                _build_header(
                    "Idempotency-Key",
                    "1 to 255 printable ASCII characters. The request is carried out once under each key.",
                )
            )
        if self._honours_if_match():
            headers.append(
                _build_header(
                    "If-Match", "The ETag of the object that was read; 412 if it was modified since."
                )
            )
        return headers

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        """Return the operation with its problem responses."""
        operation = super().get_operation(*args, **kwargs)
        if operation is not None:
            problem = self._build_problem_component()
            for status in sorted(self._list_error_statuses()):
                response = {
                    "description": DESCRIPTIONS[status],
                    "content": {CONTENT_TYPE: {"schema": problem.ref}},
                }
                operation["responses"].setdefault(status, response)
            if "202" in operation["responses"] and getattr(self.view, "may_be_held_back", False):
                _add_held_back_body(operation["responses"]["202"])
        return operation

    def _list_error_statuses(self) -> set[str]:
        statuses = {"400", "401", "403", "406", "429"}
        if "{" in self.path or _is_tenant_scoped(self.view) or self._is_list_view():
            statuses.add("404")
        if self.method not in {"GET", "HEAD"}:
            statuses |= {"409", "413", "415"}
        if self._takes_idempotency_key():
            statuses.add("422")
        if self._honours_if_match():
            statuses.add("412")
        return statuses

    def _takes_idempotency_key(self) -> bool:
        return self.method == "POST" and getattr(self.view, "idempotency_key", True)

    def _honours_if_match(self) -> bool:
        return self.method in {"PATCH", "PUT", "DELETE"} and getattr(self.view, "honours_if_match", False)

    def _build_problem_component(self) -> Any:
        component = ResolvedComponent(  # type: ignore[no-untyped-call]
            name="Problem", type=ResolvedComponent.SCHEMA, schema=PROBLEM, object="Problem"
        )
        self.registry.register_on_missing(component)
        return component


def _add_held_back_body(response: dict[str, Any]) -> None:
    """Add the body of a change that waits for approval. Its schema is that of the endpoint for quota requests."""
    for content in response["content"].values():
        content["schema"] = {"oneOf": [content["schema"], {"$ref": "#/components/schemas/RequestOnly"}]}
    response["description"] = "Accepted; or, with `request`, waiting for approval."


def _build_header(name: str, description: str) -> OpenApiParameter:
    return OpenApiParameter(name, str, OpenApiParameter.HEADER, description=description)


def _is_tenant_scoped(view: Any) -> bool:
    # An attribute, because importing `ScopedView` here would be a circular import.
    return bool(getattr(view, "tenant_scoped", False))


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """`Authorization: Token …` in the document."""

    target_class = "api.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        """Return the description of the scheme for the OpenAPI document."""
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Token <token>`, from `POST auth/tokens/`.",
        }


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The session cookie in the document."""

    target_class = "api.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        """Return the description of the scheme for the OpenAPI document."""
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": settings.SESSION_COOKIE_NAME,
            "description": "From `POST auth/login`. Methods that change data also require the X-CSRFToken header.",
        }
