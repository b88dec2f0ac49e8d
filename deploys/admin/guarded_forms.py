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
OTHER_TENANT = _("It belongs to another tenant.")
MODIFIED_BY_SOMEONE_ELSE = _(
    "Modified by someone else since you opened this page. Reload it to see the current values."
)
SomeModel = TypeVar("SomeModel", bound=models.Model)


class GuardedForm(forms.ModelForm[SomeModel]):
    """A form that is refused when its fields have changed since it was opened."""

    opened_hash = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.is_new:
            values = repr(sorted(self.initial.items()))
            self.initial["opened_hash"] = hashlib.sha256(values.encode()).hexdigest()

    @property
    def is_new(self) -> bool:
        """Return whether the row does not exist yet."""
        return self.instance._state.adding  # noqa: SLF001 - Django's documented API.

    def clean(self) -> dict[str, Any]:
        """Return the entered data. Raises validation errors by field."""
        data: dict[str, Any] = super().clean() or {}
        if not self.is_new and data.get("opened_hash") != self.initial["opened_hash"]:
            self.add_error(None, MODIFIED_BY_SOMEONE_ELSE)
        return data

    def add_problems(self, problems: dict[str, Any]) -> None:
        """Add the errors that a service found: texts by field, or by a name within the field."""
        for name, problem in problems.items():
            if isinstance(problem, dict):
                errors = [f"{inner}: {text}" for inner, texts in problem.items() for text in texts]
            else:
                errors = [str(text) for text in problem]
            if errors:
                self.add_error(name, errors)


class GuardedAdmin(WriteOnlyFieldsAdmin[SomeModel]):
    """An admin that locks a row from the check to the save, one row at a time: no bulk changes or deletions.

    A change that is refused in spite of the form's checks, after a simultaneous change, shows a message, not an error page.
    """

    actions = None

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> SomeModel | None:
        """Return a row; lock it before a change, so that no deployment starts between the check and the save."""
        row = super().get_object(request, object_id, from_field)
        # The history page opens no transaction, so it cannot lock.
        if row is None or request.method != "POST" or not connection.in_atomic_block:
            return row
        rows = self.model._default_manager.select_for_update(of=("self",), no_key=True)  # noqa: SLF001
        try:
            row.refresh_from_db(from_queryset=rows)
        except ObjectDoesNotExist:
            return None
        return row

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Any = None,
    ) -> Any:
        """Show the form of a row, or save it."""
        view = super().changeform_view
        return self._run_with_error_message(
            request, lambda: view(request, object_id, form_url, extra_context)
        )

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        """Show the confirmation of a deletion, or delete the row."""
        view = super().delete_view
        return self._run_with_error_message(request, lambda: view(request, object_id, extra_context))

    def _run_with_error_message(
        self, request: HttpRequest, view: Callable[[], HttpResponseBase]
    ) -> HttpResponseBase:
        """Return the view's response; a domain error becomes a message, and its transaction is rolled back."""
        try:
            return view()
        except DomainError as domain_error:
            reason = domain_error.detail
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
