"""Fields of the admin's forms, which are as strict as the API and show secrets no more than it does."""

from __future__ import annotations

from io import BytesIO
from typing import Any, TypeVar

from django import forms
from django.contrib import admin
from django.db.models import Model
from django.forms.fields import InvalidJSONInput
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import APIException

from .domain_errors import DomainError, InvalidFieldsError
from .parsers import JSONParser

Row = TypeVar("Row", bound=Model)


class StrictJSONField(forms.JSONField):
    """A JSON object or list, parsed as strictly as by the API: Django's own field fails on huge numbers and deep nesting.

    No value is an empty object or list. `kind` is the required type: dict or list.
    """

    def __init__(self, *, kind: type[dict[str, Any] | list[Any]] = dict, **kwargs: Any) -> None:
        self.kind = kind
        # Changes are found by comparison with the row, not with a second copy in a hidden field.
        super().__init__(**{**kwargs, "show_hidden_initial": False})

    def to_python(self, value: Any) -> Any:
        """Return the parsed value. Raises a validation error."""
        if value in self.empty_values:
            return self.kind()
        try:
            found = super().to_python(value)
        except (ValueError, RecursionError):
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid") from None
        if not isinstance(found, self.kind):
            raise forms.ValidationError(
                _("Expected an object.") if self.kind is dict else _("Expected a list.")
            )
        try:
            # The parser accepts objects alone.
            return JSONParser().parse(BytesIO(f'{{"value": {value}}}'.encode(errors="surrogatepass")))[
                "value"
            ]
        except InvalidFieldsError as error:
            wrong = [
                f"{path.removeprefix('value').lstrip('.')}: {text}".removeprefix(": ")
                for path, texts in (error.errors or {}).items()
                for text in texts
            ]
            raise forms.ValidationError(wrong) from None
        except (DomainError, APIException) as error:
            raise forms.ValidationError(str(error.detail)) from None

    def bound_data(self, data: Any, initial: Any) -> Any:
        """Return the entered text, to be shown again beside an error."""
        return initial if self.disabled else data and InvalidJSONInput(data)


class WriteOnlyFieldsAdmin(admin.ModelAdmin[Row]):
    """An admin whose form has write-only fields, which are no columns of the model, such as secrets."""

    def get_fields(self, request: HttpRequest, obj: Row | None = None) -> Any:
        """Return the fields; without the write-only ones for a user without change permission.

        To such a user Django shows the row's attribute of the field's name, and calls it if it is a method, which could return
        the secret itself.
        """
        names = super().get_fields(request, obj)
        if self.has_add_permission(request) if obj is None else self.has_change_permission(request, obj):
            return names
        columns = {field.name for field in self.model._meta.get_fields()}  # noqa: SLF001 - Django's documented API.
        written = self.form.declared_fields.keys() - columns
        return [name for name in names if name not in written]
