"""Fields of the admin's forms: as strict as the API, and as silent about secrets."""

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
    """A JSON object, or a list, read as strictly as over REST: by itself Django stumbles over endless numbers and deep nesting.

    Nothing at all is an empty one. `kind` is what it has to be: dict or list.
    """

    def __init__(self, *, kind: type[dict[str, Any] | list[Any]] = dict, **kwargs: Any) -> None:
        self.kind = kind
        # Whether it has changed is told by the row, and not by a second copy that the page sends along.
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
            # The parser reads objects alone.
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
        """Return the text as it was typed, to be shown again beside an error."""
        return initial if self.disabled else data and InvalidJSONInput(data)


class WriteOnlyFieldsAdmin(admin.ModelAdmin[Row]):
    """An admin whose form has fields of its own, which are written and never shown: secrets above all."""

    def get_fields(self, request: HttpRequest, obj: Row | None = None) -> Any:
        """Return the fields; for a viewer without change permission, without those that only the form has.

        To such a person Django shows what the row has under a field's name, and calls it if it is a method: of one that
        is named like the field, the secret itself.
        """
        names = super().get_fields(request, obj)
        if self.has_add_permission(request) if obj is None else self.has_change_permission(request, obj):
            return names
        columns = {field.name for field in self.model._meta.get_fields()}  # noqa: SLF001 - Django's documented API.
        written = self.form.declared_fields.keys() - columns
        return [name for name in names if name not in written]
