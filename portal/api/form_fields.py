"""Fields of the admin's forms that are as strict as the API."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from django import forms
from django.forms.fields import InvalidJSONInput
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import APIException

from .errors import BadFields
from .parsers import JSONParser


class StrictJSONField(forms.JSONField):
    """A JSON object, or a list, read as strictly as over REST: by itself Django stumbles over endless numbers and deep nesting.

    Nothing at all is an empty one. `kind` is what it has to be: dict or list.
    """

    def __init__(self, *, kind: type[dict[str, Any] | list[Any]] = dict, **kwargs: Any) -> None:
        self.kind = kind
        # Whether it has changed is told by the row, and not by a second copy that the page sends along.
        super().__init__(**{**kwargs, "show_hidden_initial": False})

    def to_python(self, value: Any) -> Any:
        """What was entered. Raises a validation error."""
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
        except BadFields as error:
            wrong = [
                f"{path.removeprefix('value').lstrip('.')}: {text}".removeprefix(": ")
                for path, texts in (error.errors or {}).items()
                for text in texts
            ]
            raise forms.ValidationError(wrong) from None
        except APIException as error:
            raise forms.ValidationError(str(error.detail)) from None

    def bound_data(self, data: Any, initial: Any) -> Any:
        """What is shown again beside an error: as it was typed."""
        return initial if self.disabled else data and InvalidJSONInput(data)
