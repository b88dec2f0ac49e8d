"""Serializers of events."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.read_serializers import ReadOnlyModelSerializer

from .labels import find_outcome, label_event
from .models import Event

# The changed columns with their values, or null where there was no row before or is none after.
VALUES = {"type": ["object", "null"], "additionalProperties": True}


class EventActorSerializer(serializers.Serializer[Any]):
    """The actor of an event. `name` is that of the time of the event."""

    type = serializers.ChoiceField(choices=Event.ActorType.choices)
    id = serializers.UUIDField(allow_null=True)
    name = serializers.CharField()
    token = serializers.CharField(help_text="The name of the API token; empty for a session.")
    address = serializers.CharField()


class EventObjectSerializer(serializers.Serializer[Any]):
    """The object of an event. `name` is that of the time of the event."""

    type = serializers.CharField()
    id = serializers.CharField()
    name = serializers.CharField()


class EventSerializer(ReadOnlyModelSerializer[Event]):
    """One event. `number` has no gaps within a tenant; it is null for the moment between the change and its numbering."""

    actor = serializers.SerializerMethodField()
    object = serializers.SerializerMethodField()
    label = serializers.SerializerMethodField()  # type: ignore[assignment] # The label of a field has the same name.
    outcome = serializers.SerializerMethodField()
    parameters = serializers.SerializerMethodField()
    before = serializers.SerializerMethodField()
    after = serializers.SerializerMethodField()

    class Meta:
        model = Event
        fields = [
            "number",
            "code",
            "label",
            "outcome",
            "at",
            "actor",
            "tenant",
            "object",
            "parameters",
            "before",
            "after",
            "request_id",
        ]

    @extend_schema_field(EventActorSerializer)
    def get_actor(self, event: Event) -> dict[str, Any]:
        return {
            "type": event.actor_type,
            "id": event.actor_id,
            "name": event.actor_name,
            "token": event.token_name,
            "address": event.address,
        }

    @extend_schema_field(EventObjectSerializer)
    def get_object(self, event: Event) -> dict[str, Any]:
        return {"type": event.object_type, "id": event.object_id, "name": event.object_name}

    def get_label(self, event: Event) -> str:
        return label_event(event)

    @extend_schema_field(serializers.ChoiceField(choices=["done", "failed", "refused"]))
    def get_outcome(self, event: Event) -> str:
        return find_outcome(event)

    @extend_schema_field({"type": "object", "additionalProperties": True})
    def get_parameters(self, event: Event) -> dict[str, Any]:
        parameters: dict[str, Any] = event.parameters
        return parameters

    @extend_schema_field(VALUES)
    def get_before(self, event: Event) -> dict[str, Any] | None:
        return event.before

    @extend_schema_field(VALUES)
    def get_after(self, event: Event) -> dict[str, Any] | None:
        return event.after


class StreamedEventSerializer(serializers.Serializer[Any]):
    """One server-sent event: `event` is the code, `id` the number, and `data` the event as JSON."""

    event = serializers.CharField(required=False)
    data = serializers.CharField(required=False)  # type: ignore[assignment] # the name of the field in the stream.
    id = serializers.CharField(required=False)
    retry = serializers.IntegerField(required=False)
