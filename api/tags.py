"""Tags of objects: keys with values that people give, in requests and in the filters of lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import Q, QuerySet
from django.forms import MultipleChoiceField, ValidationError
from django.utils.translation import gettext_lazy as _
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from .error_limits import MAX_ERRORS
from .serializers import CloudNameField

MAX_TAGS = 50
MAX_KEY_LENGTH = 63
MAX_VALUE_LENGTH = 255
# A filter with more tags than an object can have matches nothing.
MAX_FILTERED_TAGS = MAX_TAGS
_KEY_MARKS = frozenset("-_./")
KEY_RULE = _(
    "A tag key has 1 to 63 letters, digits and - _ . / and begins with a letter or digit. '%(key)s' does not."
)


def is_tag_key(text: str) -> bool:
    """Return whether a text can be the key of a tag. A key has no colon, which separates it from its value in a filter."""
    return (
        1 <= len(text) <= MAX_KEY_LENGTH
        and text[0].isalnum()
        and all(character.isalnum() or character in _KEY_MARKS for character in text)
    )


def describe_key_error(key: str) -> str:
    """Return why a text cannot be the key of a tag."""
    return str(KEY_RULE % {"key": key[:MAX_KEY_LENGTH]})


def check_tag_count(tags: Mapping[str, str]) -> list[str]:
    """Return the error of too many tags; [] when an object can have them."""
    if len(tags) <= MAX_TAGS:
        return []
    message = _("At most %(most)s tags on one object; these are %(count)s. Remove some.")
    return [str(message % {"most": MAX_TAGS, "count": len(tags)})]


class TagsField(serializers.DictField):
    """All tags of an object, by key. A value may be empty."""

    child = CloudNameField(max_length=MAX_VALUE_LENGTH, allow_blank=True)

    def to_internal_value(self, data: Any) -> dict[str, str]:
        """Return the tags. Raises a validation error, by key for single tags."""
        if isinstance(data, Mapping) and (wrong := check_tag_count(data)):
            raise serializers.ValidationError(wrong, code="max_length")
        tags: dict[str, str] = super().to_internal_value(data)
        wrong_keys = [key for key in tags if not is_tag_key(key)][:MAX_ERRORS]
        if wrong_keys:
            raise serializers.ValidationError({key[:100]: [describe_key_error(key)] for key in wrong_keys})
        return tags


class TagKeysField(serializers.ListField):
    """The keys of tags."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", MAX_TAGS)
        kwargs.setdefault("child", serializers.CharField(max_length=MAX_KEY_LENGTH))
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> list[str]:
        """Return the keys. Raises a validation error for a text that can be no key."""
        keys: list[str] = super().to_internal_value(data)
        if wrong := [key for key in keys if not is_tag_key(key)]:
            raise serializers.ValidationError([describe_key_error(wrong[0])])
        return keys


def match_tags(terms: Iterable[str]) -> Q:
    """Return the condition of objects with all of some tags: "key" for any value, or "key:value"."""
    condition = Q()
    for term in terms:
        key, colon, value = term.partition(":")
        condition &= Q(tags__contains={key: value}) if colon else Q(tags__has_key=key)
    return condition


def describe_term_error(term: str) -> str | None:
    """Return why a text is no filter for a tag; None for "key" and "key:value"."""
    key, _colon, value = term.partition(":")
    if not is_tag_key(key):
        return describe_key_error(key)
    if len(value) > MAX_VALUE_LENGTH:
        message = _("A tag value has at most %(most)s characters; this has %(count)s.")
        return str(message % {"most": MAX_VALUE_LENGTH, "count": len(value)})
    return None


class _TermsField(MultipleChoiceField):
    """Any number of filters for tags; they are texts, and no choices are known."""

    def validate(self, value: Any) -> None:
        """Raise for a text that is no filter for a tag, and for too many."""
        if len(value) > MAX_FILTERED_TAGS:
            raise ValidationError(_("At most %(most)s tags."), params={"most": MAX_FILTERED_TAGS})
        for term in value:
            if (error := describe_term_error(term)) is not None:
                raise ValidationError(error)


@extend_schema_field({"type": "array", "items": {"type": "string"}})
class TagFilter(filters.Filter):  # type: ignore[misc] # django-filter has no types.
    """`?tag=key` and `?tag=key:value`; given several times, an object needs all of them."""

    field_class = _TermsField

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(help_text="`key`, or `key:value`; several: all of them.", **kwargs)

    def filter(self, rows: QuerySet[Any], value: Any) -> QuerySet[Any]:
        """Return the rows that have all of the tags."""
        return rows.filter(match_tags(value)) if value else rows
