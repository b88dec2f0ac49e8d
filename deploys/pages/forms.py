"""Forms of pages that are described in Python and drawn by one template: their fields, what was entered, and their errors.

The fields have the names of the REST serializers, which validate them, so that pages and REST accept the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.core.exceptions import BadRequest
from django.http import HttpResponse, QueryDict
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from api.domain_errors import DomainError, InvalidFieldsError, OutdatedError
from api.errors import status_of
from api.form_errors import errors_by_field, show_error
from api.serializers import StrictModelSerializer
from tenants.scoped_pages import PageRequest
from tenants.scoping import Scope

Text = str | Promise


@dataclass(frozen=True, slots=True)
class FormField:
    """A field of a form. `kind` selects the control; `suggestions` are offered while one types."""

    name: str
    label: Text
    kind: str = "text"
    hint: Text = ""
    unit: Text = ""
    placeholder: str = ""
    choices: Sequence[tuple[Any, Any]] = ()
    suggestions: Sequence[str] = ()
    required: bool = False
    is_wide: bool = False
    max_length: int | None = None
    minimum: int | None = None
    maximum: int | None = None
    value: str = ""
    values: frozenset[str] = frozenset()
    errors: Sequence[str] = ()
    # The value that somebody else has saved while the form was filled in.
    saved: str = ""

    @property
    def id(self) -> str:
        """Return the id of the control."""
        return f"field-{self.name.replace('_', '-')}"

    @property
    def described_by(self) -> str:
        """Return the ids of the texts that describe the control."""
        hint = [f"{self.id}-hint"] if self.hint or self.saved else []
        numbers = range(1, len(self.errors) + 1)
        return " ".join(
            hint + [f"{self.id}-error" + (f"-{number}" if number > 1 else "") for number in numbers]
        )

    @property
    def full_hint(self) -> str:
        """Return the hint, with the value that somebody else has saved."""
        saved = _("Saved by someone else meanwhile: %(value)s.") % {"value": self.saved} if self.saved else ""
        return " ".join(filter(None, [str(self.hint), saved]))


@dataclass(frozen=True, slots=True)
class FormSection:
    """Fields that belong together, under a heading."""

    title: Text
    fields: Sequence[FormField]
    hint: Text = ""


@dataclass(frozen=True, slots=True)
class FormPage:
    """A page with one form: its words, where it leads back to, and its sections. `version` is that of the row it changes."""

    title: str
    submit: str
    back: str
    sections: Sequence[FormSection]
    crumbs: Sequence[tuple[str, str]] = ()
    version: str = ""
    intro: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    # What a template of its own needs, such as the address of a dialog's form.
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Return the names of the fields."""
        return [one.name for section in self.sections for one in section.fields]


def run_form(
    request: PageRequest,
    scope: Scope,
    page: FormPage,
    carry_out: Callable[[dict[str, str]], HttpResponse],
    *,
    template: str = "deploys/form.html",
) -> HttpResponse:
    """Show a form, or carry out a POST of it with what was entered.

    A form that is refused is shown again, with what was entered and the reasons beside the fields.
    """
    if request.method != "POST":
        return _render_form(request, scope, page, template)
    entered = _read_form(request.POST, page.names)
    try:
        return carry_out(entered)
    except DomainError as refused:
        return _render_form(request, scope, page, template, entered=entered, refused=refused)


def validate(
    serializer: StrictModelSerializer[Any], errors: Mapping[str, list[str]] | None = None
) -> dict[str, Any]:
    """Return the validated fields. Raises `InvalidFieldsError` with the serializer's errors and those that are passed."""
    is_valid = serializer.is_valid()
    if not is_valid or errors:
        raise InvalidFieldsError({**serializer.errors, **(errors or {})})
    return dict(serializer.validated_data)


def _read_form(post: QueryDict, names: Iterable[str]) -> dict[str, str]:
    """Return the sent texts of a form, with line breaks as one character."""
    entered = {name: post.get(name, "").replace("\r\n", "\n") for name in names}
    if any("\x00" in text for text in entered.values()):
        raise BadRequest
    return entered


def _render_form(
    request: PageRequest,
    scope: Scope,
    page: FormPage,
    template: str,
    *,
    entered: Mapping[str, str] | None = None,
    refused: DomainError | None = None,
) -> HttpResponse:
    """Render a form with its initial values, or with what was entered and why it was refused.

    After a change by somebody else, the form keeps what was entered and names what was saved, and saving again overwrites
    it: the reader has seen it then.
    """
    errors: dict[str, list[str]] = {}
    is_outdated = isinstance(refused, OutdatedError)
    if refused is not None:
        errors = _collect_errors(request, refused, page.names)
    sections = []
    for section in page.sections:
        fields = []
        for one in section.fields:
            filled = _fill(one, page.values.get(one.name, ""), entered, is_outdated=is_outdated)
            texts = _explain_choice(filled) if one.name in errors else []
            fields.append(
                replace(
                    filled,
                    errors=texts or errors.get(one.name, ()),
                    values=frozenset(request.POST.getlist(one.name) if one.kind == "choices" else ()),
                )
            )
        sections.append(replace(section, fields=fields))
    context = {"scope": scope, "form": replace(page, sections=sections), "is_outdated": is_outdated}
    return render(request, template, context, status=status_of(refused) if refused else 200)


def _fill(one: FormField, current: str, entered: Mapping[str, str] | None, *, is_outdated: bool) -> FormField:
    """Return a field with its current value, or with what was entered. A secret is never sent back."""
    value = current if entered is None else "" if one.kind == "secret" else entered.get(one.name, "")
    differs = is_outdated and value.strip() != current.strip()
    return replace(one, value=value, saved=(_find_choice(one, current) or "—") if differs else "")


def _explain_choice(one: FormField) -> list[str]:
    """Return what to say at a selection without a valid value; the serializers' errors are about ids."""
    choices = {str(value): str(label) for value, label in one.choices}
    if one.kind != "select" or (one.value and one.value in choices):
        return []
    return [f"{choices.get('', _('Select a value'))}."]


def _find_choice(one: FormField, value: str) -> str:
    return next((str(label) for choice, label in one.choices if str(choice) == value), value)


def _collect_errors(request: PageRequest, refused: DomainError, names: Sequence[str]) -> dict[str, list[str]]:
    """Return the errors by field, and show those above the page that belong to no field."""
    errors = errors_by_field(refused)
    if isinstance(refused, OutdatedError):
        return {}
    if not isinstance(refused, InvalidFieldsError) and errors and errors.keys() <= set(names):
        # The reason is the sentence of the error; the texts by field are for programs.
        return {name: [refused.detail] for name in errors}
    show_error(request, refused, shown_beside=names)
    return errors
