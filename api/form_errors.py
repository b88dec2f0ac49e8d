"""Show the errors of forms on pages: beside their fields, and the rest above the page."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from django.contrib import messages
from django.http import HttpRequest

from api.domain_errors import DomainError, InvalidFieldsError, NotFoundError
from api.form_keys import mark_refused
from api.serializers import StrictSerializer


def error_texts(error: Any) -> list[str]:
    """Return the messages of an error, at any depth of nesting."""
    if isinstance(error, Mapping):
        return [f"{name}: {text}" for name, inner in error.items() for text in error_texts(inner)]
    if isinstance(error, list | tuple):
        return [text for inner in error for text in error_texts(inner)]
    return [str(error)]


def errors_by_field(refused: DomainError) -> dict[str, list[str]]:
    """Return the messages of an error by field."""
    return {name: error_texts(error) for name, error in (refused.errors or {}).items()}


def show_error(request: HttpRequest, refused: DomainError, shown_beside: Collection[str] = ()) -> None:
    """Show an error above the page with the API's message, except errors of the fields `shown_beside`.

    A `NotFoundError` is raised again, because there is no page to show it on.
    """
    if isinstance(refused, NotFoundError):
        raise refused
    mark_refused(request)
    errors = errors_by_field(refused)
    if not isinstance(refused, InvalidFieldsError):
        if not errors or not errors.keys() <= set(shown_beside):
            messages.error(request, refused.detail)
        return
    for name, texts in errors.items():
        if name not in shown_beside:
            messages.error(request, f"{name}: {' '.join(texts)}")


def validate_form(serializer: StrictSerializer) -> dict[str, Any]:
    """Return the validated data of a form. Raises `InvalidFieldsError`."""
    if not serializer.is_valid():
        raise InvalidFieldsError(serializer.errors)
    return dict(serializer.validated_data)


def filled_fields(form: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return the named form fields that have a value: a browser sends the others as empty texts."""
    return {name: form[name] for name in names if form.get(name)}
