"""Admin forms that are safe against concurrent deployments and other editors."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, TypeVar

from django import forms
from django.contrib import messages
from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, connection, models
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils.translation import gettext_lazy as _

from api.database_errors import database_refusal
from api.domain_errors import DomainError
from api.form_fields import WriteOnlyFieldsAdmin
from api.form_keys import mark_refused

BEING_DEPLOYED = _("A deployment is in progress. Wait for it to end.")
OF_ANOTHER_TENANT = _("It is of another tenant.")
MODIFIED_BY_SOMEONE_ELSE = _("It has been changed since this page was opened. Open it again, and look first.")
AnyRow = TypeVar("AnyRow", bound=models.Model)


class GuardedForm(forms.ModelForm[AnyRow]):
    """A form that is refused when its fields have changed since it was opened."""

    seen = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.is_new:
            values = repr(sorted(self.initial.items()))
            self.initial["seen"] = hashlib.sha256(values.encode()).hexdigest()

    @property
    def is_new(self) -> bool:
        """Return whether the row does not exist yet."""
        return self.instance._state.adding  # noqa: SLF001 - Django's documented API.

    def clean(self) -> dict[str, Any]:
        """Return the entered data. Raises validation errors by field."""
        entered: dict[str, Any] = super().clean() or {}
        if not self.is_new and entered.get("seen") != self.initial["seen"]:
            self.add_error(None, MODIFIED_BY_SOMEONE_ELSE)
        return entered

    def add_problems(self, problems: dict[str, Any]) -> None:
        """Take over what a service finds wrong: texts by field, or texts by a name within the field."""
        for name, found in problems.items():
            if isinstance(found, dict):
                lines = [f"{inside}: {text}" for inside, texts in found.items() for text in texts]
            else:
                lines = [str(text) for text in found]
            if lines:
                self.add_error(name, lines)


class GuardedAdmin(WriteOnlyFieldsAdmin[AnyRow]):
    """An admin that locks a row from the check to the save, one row at a time: no bulk changes or deletions.

    What is refused in spite of the form's checks, because somebody was quicker, is a message and no error page.
    """

    actions = None

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> AnyRow | None:
        """A row, locked when it is about to be changed: a deployment then begins before the check or after the save."""
        found = super().get_object(request, object_id, from_field)
        # The page of the history opens no transaction.
        if found is None or request.method != "POST" or not connection.in_atomic_block:
            return found
        rows = self.model._default_manager.select_for_update(of=("self",), no_key=True)  # noqa: SLF001
        try:
            found.refresh_from_db(from_queryset=rows)
        except ObjectDoesNotExist:
            return None
        return found

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Any = None,
    ) -> Any:
        """The form of a row."""
        view = super().changeform_view
        return self._message_on_error(request, lambda: view(request, object_id, form_url, extra_context))

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        """The question before a row is deleted."""
        view = super().delete_view
        return self._message_on_error(request, lambda: view(request, object_id, extra_context))

    def _message_on_error(
        self, request: HttpRequest, view: Callable[[], HttpResponseBase]
    ) -> HttpResponseBase:
        """Return the view's response; a domain error becomes a message, and its transaction is rolled back."""
        try:
            return view()
        except DomainError as refused:
            reason = refused.detail
        except DatabaseError as error:
            refusal = database_refusal(error)
            if request.method != "POST" or refusal is None or refusal.status >= 500:
                raise
            reason = str(refusal.detail)
        mark_refused(request)
        self.message_user(request, reason, messages.ERROR)
        return HttpResponseRedirect(request.get_full_path())


def save_changed_fields(row: models.Model, form: Any, *columns: str) -> None:
    """Save only the fields that the form changed: deployments write the others."""
    model_fields = {field.name for field in row._meta.concrete_fields}  # noqa: SLF001
    row.save(update_fields=[*model_fields.intersection(form.changed_data), *columns])
