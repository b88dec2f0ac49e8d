"""Filters of the lists of this room."""

from django_filters import rest_framework as filters

from api.bin_filter import BinFilter
from api.filtering import ListFilterSet
from api.tags import TagFilter

from .models import Volume, VolumeSnapshot


class VolumeFilter(ListFilterSet):
    """Named filters of `volumes/`."""

    information_system = filters.UUIDFilter(field_name="information_system_id")
    account = filters.NumberFilter(field_name="account_id", min_value=1, max_value=2**63 - 1)
    region = filters.CharFilter(max_length=100)
    status = filters.CharFilter(max_length=50)
    vm = filters.UUIDFilter(field_name="vm_id")
    tag = TagFilter()
    in_bin = BinFilter()
    attached = filters.BooleanFilter(field_name="vm", lookup_expr="isnull", exclude=True)

    class Meta:
        model = Volume
        fields: list[str] = []


class VolumeSnapshotFilter(ListFilterSet):
    """Named filters of `volumes/snapshots/`."""

    information_system = filters.UUIDFilter(field_name="information_system_id")
    volume = filters.UUIDFilter(field_name="volume_id")
    status = filters.CharFilter(max_length=50)

    class Meta:
        model = VolumeSnapshot
        fields: list[str] = []
