"""Volumes of a VM in the API."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from api.serializers import CloudNameField, PlainCharField, StrictSerializer
from tasks.serializers import JobSerializer
from volumepool.serializers import VolumeSerializer


class AttachSerializer(StrictSerializer):
    """A volume of the tenant's to attach, or the size of a new one."""

    volume = serializers.UUIDField(required=False)
    size_gb = serializers.IntegerField(min_value=1, max_value=10000, required=False)
    name = CloudNameField(max_length=200, required=False, allow_blank=True)
    type = PlainCharField(max_length=100, required=False, allow_blank=True)


class AttachedSerializer(serializers.Serializer[Any]):
    """The volume, and the job that changes it."""

    volume = VolumeSerializer()
    job = JobSerializer(allow_null=True)
