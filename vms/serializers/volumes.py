"""Volumes of a VM in the API."""

from __future__ import annotations

from rest_framework import serializers

from api.serializers import CloudNameField, PlainCharField, StrictSerializer


class AttachVolumeSerializer(StrictSerializer):
    """A volume of the tenant's to attach, or the size of a new one."""

    volume = serializers.UUIDField(required=False)
    size_gb = serializers.IntegerField(min_value=1, max_value=10000, required=False)
    name = CloudNameField(max_length=200, required=False, allow_blank=True)
    type = PlainCharField(max_length=100, required=False, allow_blank=True)
