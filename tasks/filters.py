"""Filters of the job list."""

from django_filters import rest_framework as filters

from api.filtering import ListFilterSet

from .models import Job, JobStatus


class JobFilter(ListFilterSet):
    """Named filters of `jobs/`."""

    status = filters.MultipleChoiceFilter(choices=JobStatus.choices)
    kind = filters.CharFilter(max_length=100)
    entity_type = filters.CharFilter(max_length=50)
    entity_id = filters.CharFilter(max_length=64)
    parent = filters.UUIDFilter(field_name="parent_id")
    created_after = filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    created_before = filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")

    class Meta:
        model = Job
        fields: list[str] = []
