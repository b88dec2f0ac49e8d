"""The feed of events and the audit log over REST."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from api.csv_responses import CsvRenderer, csv_response
from api.event_streams import EventStreamRenderer, read_last_event_id
from api.json_lines_responses import JsonLinesRenderer, json_lines_response
from api.pagination import CappedPagination, parse_parameter
from tenants.response_access import ResponseAccess
from tenants.scoped_views import ScopedView

from .access import require_event_access
from .feed import read_feed, stream_feed
from .filters import EventFilter
from .models import Event
from .recording import record_event
from .serializers import EventSerializer, StreamedEventSerializer

DEFAULT_LIMIT, MAX_LIMIT = 200, 1000
AFTER = OpenApiParameter("after", int, description="The number of the last known event.")
LIMIT = OpenApiParameter("limit", int, description=f"At most {MAX_LIMIT}.")
COLUMNS = (
    "number",
    "at",
    "code",
    "actor_type",
    "actor_name",
    "token_name",
    "address",
    "object_type",
    "object_id",
    "object_name",
    "parameters",
    "before",
    "after",
    "request_id",
    "digest",
)


class EventFeedView(ScopedView):
    """The events of the caller's tenant from a number on, without gaps; for staff without a tenant, those of the platform.

    A program that keeps the last number that it has handled, and sends it as `after`, misses nothing and gets nothing twice.
    """

    queryset = Event.objects.all()
    serializer_class = EventSerializer
    filter_backends: list[Any] = []
    pagination_class = None

    @extend_schema(
        operation_id="events_list",
        parameters=[AFTER, LIMIT],
        responses=inline_serializer(
            "EventFeed",
            {
                "results": EventSerializer(many=True),
                "last": serializers.IntegerField(help_text="The number of the newest event."),
            },
        ),
    )
    def get(self, request: Request) -> Response:
        """Return the events after a number, the oldest first."""
        require_event_access(self.scope)
        after = parse_parameter(request, "after", 0, 0, 2**63 - 1)
        limit = parse_parameter(request, "limit", DEFAULT_LIMIT, 1, MAX_LIMIT)
        events, last = read_feed(self.scope.tenant.pk if self.scope.tenant else None, after, limit)
        return Response({"results": EventSerializer(events, many=True).data, "last": last})


class EventStreamView(ScopedView):
    """The feed as server-sent events."""

    queryset = Event.objects.all()
    renderer_classes: ClassVar[list[type[BaseRenderer]]] = [EventStreamRenderer, JSONRenderer]  # type: ignore[misc]

    @extend_schema(
        parameters=[
            AFTER,
            OpenApiParameter(
                "Last-Event-ID",
                int,
                OpenApiParameter.HEADER,
                description="The number of the last event that the reader received; browsers send it when they reconnect.",
            ),
        ],
        responses={(200, "text/event-stream"): StreamedEventSerializer},
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """Send the events after a number, and those that happen from now on. The event's name is its code, its id its number."""
        require_event_access(self.scope)
        after = parse_parameter(request, "after", 0, 0, 2**63 - 1)
        after = max(after, read_last_event_id(request))
        tenant_id = self.scope.tenant.pk if self.scope.tenant else None
        return stream_feed(request, tenant_id, after, ResponseAccess(request, self.scope))


class _AuditView(ScopedView):
    queryset = Event.objects.order_by("-id")
    serializer_class = EventSerializer
    filterset_class = EventFilter
    search_fields = ["object_name", "actor_name", "code"]

    def get_queryset(self) -> Any:
        """Return the events of the scope. Raises 403."""
        events = super().get_queryset()
        if not getattr(self, "swagger_fake_view", False):
            require_event_access(self.scope)
        return events


class AuditListView(_AuditView, ListAPIView[Event]):
    """The audit log: every event with its actor, address and result, the newest first.

    Staff without a tenant read that of all tenants and of the platform.
    """

    pagination_class = CappedPagination

    def find_known_count(self) -> int | None:
        """Return None: the number of events is not known without counting them."""
        return None


class AuditExportView(_AuditView):
    """The audit log as a file, with the filters of the list. The export itself is an event."""

    renderer_classes: ClassVar[list[type[BaseRenderer]]] = [CsvRenderer, JsonLinesRenderer, JSONRenderer]  # type: ignore[misc]
    pagination_class = None

    @extend_schema(
        operation_id="audit_export",
        responses={(200, "text/csv"): OpenApiTypes.STR, (200, "application/jsonl"): OpenApiTypes.STR},
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """Return all events that the filters match: CSV, or with `Accept: application/jsonl` one JSON object a line."""
        events = self.filter_queryset(self.get_queryset())
        filters = {
            name: request.query_params[name][:200] for name in request.query_params if name != "format"
        }
        record_event(
            "audit.exported",
            tenant_id=self.scope.tenant.pk if self.scope.tenant else None,
            object_type="audit",
            parameters={"filters": filters},
        )
        access = ResponseAccess(request, self.scope)
        if isinstance(request.accepted_renderer, JsonLinesRenderer):
            return json_lines_response("audit", COLUMNS, events, access.get_scope)
        return csv_response("audit", COLUMNS, events, access.get_scope)
