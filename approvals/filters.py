"""Filters of the list of requests."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters

from api.filtering import ListFilterSet

from .models import ApprovalRequest, RequestStatus
from .services import select_waiting_for


class ApprovalRequestFilter(ListFilterSet):
    """Requests by status, command and requester; `waiting` are those that wait for the caller, `mine` the caller's own."""

    status = filters.MultipleChoiceFilter(choices=RequestStatus.choices, distinct=False)
    command = filters.CharFilter(field_name="kind", max_length=100)
    requested_by = filters.CharFilter(field_name="requested_by__username", max_length=150)
    waiting = filters.BooleanFilter(method="filter_waiting")
    mine = filters.BooleanFilter(method="filter_mine")

    class Meta:
        model = ApprovalRequest
        fields: list[str] = []

    def filter_waiting(self, requests: Any, _name: str, value: bool) -> Any:
        waiting = select_waiting_for(requests, self.request.user)
        return waiting if value else requests.exclude(pk__in=waiting.values("pk"))

    def filter_mine(self, requests: Any, _name: str, value: bool) -> Any:
        own = requests.filter(requested_by=self.request.user)
        return own if value else requests.exclude(requested_by=self.request.user)
