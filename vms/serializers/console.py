"""The console of a VM in the API."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from api.serializers import StrictSerializer
from tasks.serializers import JobSerializer


class ReadConsoleSerializer(StrictSerializer):
    """The parameters of a console reading: the console URL, or the last lines of the log."""

    reading = serializers.ChoiceField(choices=["url", "log"], default="url")
    lines = serializers.IntegerField(min_value=1, max_value=1000, default=100)


class ConsoleSerializer(serializers.Serializer[Any]):
    """The texts that were last read for the caller. A URL grants access to whoever has it, and is shown for some minutes."""

    url = serializers.CharField(allow_null=True)
    url_read_at = serializers.DateTimeField(allow_null=True)
    log = serializers.CharField(allow_null=True)
    log_read_at = serializers.DateTimeField(allow_null=True)


class ConsoleJobSerializer(ConsoleSerializer):
    """The texts that are known, and the job that reads them anew."""

    job = JobSerializer(allow_null=True)
