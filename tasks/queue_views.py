"""The queue page over REST, for staff: schedules, workers, and the summary."""

from __future__ import annotations

from typing import ClassVar

from django.http import Http404
from django_celery_beat.models import PeriodicTask
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tenants.staff_permissions import StaffPermission

from . import queues
from .queue_serializers import (
    ScheduleChangeSerializer,
    ScheduleSerializer,
    SummarySerializer,
    WorkersSerializer,
)


class _StaffView(APIView):
    permission_classes: ClassVar[list[type[BasePermission]]] = [StaffPermission]  # type: ignore[misc]
    # The model whose view and change permissions the caller needs.
    staff_model = "tasks.job"


class ScheduleListView(_StaffView):
    """Every schedule of beat."""

    staff_model = "django_celery_beat.periodictask"

    @extend_schema(responses=ScheduleSerializer(many=True), filters=False)
    def get(self, request: Request) -> Response:
        """List the schedules."""
        return Response(ScheduleSerializer(queues.list_schedules(), many=True).data)


class ScheduleView(_StaffView):
    """One schedule of beat."""

    staff_model = "django_celery_beat.periodictask"

    @extend_schema(request=ScheduleChangeSerializer, responses=ScheduleSerializer)
    def patch(self, request: Request, pk: int) -> Response:
        """Enable or disable a schedule, or change its interval. The next deploy keeps the change."""
        body = ScheduleChangeSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        try:
            schedule = queues.change_schedule(schedule_id=pk, **body.validated_data)
        except PeriodicTask.DoesNotExist:
            raise Http404 from None
        return Response(ScheduleSerializer(schedule).data)


class WorkersView(_StaffView):
    """The Celery workers."""

    @extend_schema(responses=WorkersSerializer)
    def get(self, request: Request) -> Response:
        """List the workers that are online."""
        broker = queues.broker_status()
        return Response({"known": broker is not None, "workers": broker and broker.workers})


class SummaryView(_StaffView):
    """A summary of jobs and queues."""

    @extend_schema(responses=SummarySerializer)
    def get(self, request: Request) -> Response:
        """Show jobs by status and age, what is overdue or in trouble, and the depth of each queue."""
        return Response(SummarySerializer(queues.summarize_jobs()).data)
