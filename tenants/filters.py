"""Filters of the list of information systems."""

from django_filters import rest_framework as filters

from api.filtering import ListFilterSet

from .models import InformationSystem


class InformationSystemFilter(ListFilterSet):
    """Named filters of `information-systems/`."""

    owner = filters.CharFilter(max_length=100)
    default_account = filters.NumberFilter(field_name="default_account_id", min_value=1, max_value=2**63 - 1)

    class Meta:
        model = InformationSystem
        fields: list[str] = []
