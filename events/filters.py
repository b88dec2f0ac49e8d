"""Filters of the audit log."""

from __future__ import annotations

from typing import Any

from django.db.models import Q
from django_filters import rest_framework as filters

from api.filtering import ListFilterSet

from .labels import FAILED, REFUSED
from .models import Event

OUTCOMES = ("done", "failed", "refused")


def match_outcome(outcome: str) -> Q:
    """Return the condition for events that ended in a way; an outcome that does not exist matches none."""
    refused = Q(code__endswith=f".{REFUSED}")
    failed = Q()
    for end in FAILED:
        failed |= Q(code__endswith=f".{end}")
    return {"done": ~refused & ~failed, "failed": failed, "refused": refused}.get(outcome, Q(pk=None))


class EventFilter(ListFilterSet):
    """Named filters of `audit/`."""

    actor = filters.CharFilter(field_name="actor_name", max_length=150)
    code = filters.CharFilter(max_length=80)
    object = filters.CharFilter(field_name="object_id", max_length=64)
    object_type = filters.CharFilter(max_length=50)
    request_id = filters.CharFilter(max_length=128)
    outcome = filters.ChoiceFilter(choices=[(one, one) for one in OUTCOMES], method="filter_outcome")
    after = filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    before = filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")

    class Meta:
        model = Event
        fields: list[str] = []

    def filter_outcome(self, events: Any, _name: str, outcome: str) -> Any:
        """Keep the events that ended in a way."""
        return events.filter(match_outcome(outcome))
