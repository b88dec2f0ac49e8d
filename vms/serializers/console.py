"""The console of a VM, as the API takes and shows it."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from api.serializers import StrictSerializer
from tasks.serializers import JobSerializer


class ReadConsoleSerializer(StrictSerializer):
    """What to read: the address of the screen, or the last lines of text."""

    reading = serializers.ChoiceField(choices=["url", "log"], default="url")
    lines = serializers.IntegerField(min_value=1, max_value=1000, default=100)


class ConsoleSerializer(serializers.Serializer[Any]):
    """What was last read for who asks. An address lets its holder in, and is shown for some minutes."""

    url = serializers.CharField(allow_null=True)
    url_read_at = serializers.DateTimeField(allow_null=True)
    log = serializers.CharField(allow_null=True)
    log_read_at = serializers.DateTimeField(allow_null=True)


class ConsoleAnswerSerializer(ConsoleSerializer):
    """What is known, and the job that reads anew."""

    job = JobSerializer(allow_null=True)
