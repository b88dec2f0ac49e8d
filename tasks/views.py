"""Jobs over REST: list, detail with the step tree, cancel, log lines."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.http import StreamingHttpResponse
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from api.event_streams import EventStreamRenderer
from api.idempotency import idempotent
from api.pagination import LogPagination
from tenants.response_access import ResponseAccess
from tenants.scoped_views import ScopedView
from tenants.scoping import Role, require_staff_permission

from .command_views import CommandView, job_response
from .events import event_stream
from .filters import JobFilter
from .models import Job, JobLogLine
from .serializers import (
    AcceptedJobSerializer,
    DecisionSerializer,
    EndSerializer,
    JobEventSerializer,
    JobLogLineSerializer,
    JobSerializer,
)
from .services import DECIDE_PERMISSION, cancel_job, decide_job

JOBS = Job.objects.for_display()


class JobListView(ScopedView, ListAPIView[Job]):
    """The jobs of the caller's tenant, the newest first; with `parent`, the children of that job instead."""

    queryset = JOBS.order_by("-created_at", "-id")
    serializer_class = JobSerializer
    filterset_class = JobFilter
    search_fields = ["subject", "kind"]
    ordering_fields = ["created_at", "ended_at", "kind", "status", "position"]

    def get_queryset(self) -> Any:
        """Return the jobs without a parent, unless the request filters by `parent`."""
        jobs = super().get_queryset()
        return jobs if "parent" in self.request.query_params else jobs.filter(parent=None)


class JobDetailView(ScopedView, RetrieveAPIView[Job]):
    """One job with its steps."""

    queryset = JOBS
    serializer_class = JobSerializer


class JobCancelView(ScopedView):
    """Cancel a job: it stops at the next step boundary and its effects are undone."""

    queryset = JOBS
    serializer_class = JobSerializer

    @extend_schema(request=None, responses={202: JobSerializer})
    @idempotent
    def post(self, request: Request, pk: UUID) -> Response:
        """Cancel a job."""
        job = cancel_job(scope=self.scope, job_id=pk)
        return Response(JobSerializer(job).data, status=202)


class JobEventsView(ScopedView):
    """The changes of a job as server-sent events."""

    queryset = Job.objects.all()
    renderer_classes: ClassVar[list[type[BaseRenderer]]] = [EventStreamRenderer, JSONRenderer]  # type: ignore[misc]

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "Last-Event-ID",
                int,
                OpenApiParameter.HEADER,
                description="The id of the last line that the reader received; browsers send it when they reconnect.",
            )
        ],
        responses={(200, "text/event-stream"): JobEventSerializer},
    )
    def get(self, request: Request, pk: UUID) -> StreamingHttpResponse:
        """Send `job` now and after each change, `line` for each line of its log, and `end` when it has ended."""
        return event_stream(request, self.get_object(), ResponseAccess(request, self.scope))


class _DecisionView(CommandView):
    """A view for a decision of staff about a job in trouble."""

    queryset = JOBS
    serializer_class = JobSerializer
    decision: ClassVar[str]
    body_serializer: ClassVar[type[DecisionSerializer]] = DecisionSerializer

    def require_access(self, role: Role) -> None:
        """Raise 404 when the scope does not show the job, 403 when the caller may not decide."""
        self.get_object()
        require_staff_permission(self.scope.user, DECIDE_PERMISSION)

    def decide(self, request: Request, pk: UUID) -> Response:
        """Check access, then the body, then the job's state; return 202 with the job that continues."""

        def record() -> Response:
            fields = self.validate_body(self.body_serializer(data=request.data), Role.ADMIN)
            job = decide_job(scope=self.scope, job_id=pk, decision=self.decision, **fields)
            return job_response(JOBS.get(pk=job.pk), {})

        return self.run_command(request, record)


class JobResumeView(_DecisionView):
    """Resume a stuck job. For staff with `tasks.change_job`."""

    decision = "resume"

    @extend_schema(request=DecisionSerializer, responses={202: AcceptedJobSerializer})
    def post(self, request: Request, pk: UUID) -> Response:
        """Resume a stuck job where it stopped, also during its undo, with new tries and a new deadline."""
        return self.decide(request, pk)


class JobEndView(_DecisionView):
    """End a stuck job, or mark an errored one as handled. For staff with `tasks.change_job`."""

    decision = "end"
    body_serializer = EndSerializer

    @extend_schema(request=EndSerializer, responses={202: AcceptedJobSerializer})
    def post(self, request: Request, pk: UUID) -> Response:
        """End a stuck job as failed and free its locks; with `undo`, undo its effects first."""
        return self.decide(request, pk)


class JobRetryView(_DecisionView):
    """Submit the command of an errored job again. For staff with `tasks.change_job`."""

    decision = "retry"

    @extend_schema(request=DecisionSerializer, responses={202: AcceptedJobSerializer})
    def post(self, request: Request, pk: UUID) -> Response:
        """Submit the command of an errored job as a new job."""
        return self.decide(request, pk)


class JobLinesView(ScopedView, ListAPIView[JobLogLine]):
    """The log of a job; `after` is the id of the last known line."""

    queryset = Job.objects.all()
    serializer_class = JobLogLineSerializer
    pagination_class = LogPagination

    def get_queryset(self) -> Any:
        """Return the lines of the job. Raises 404 when the scope does not show it."""
        jobs = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return JobLogLine.objects.none()
        return JobLogLine.objects.filter(job=get_object_or_404(jobs, pk=self.kwargs["pk"]))
