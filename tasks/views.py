"""Jobs over REST: list, detail with the step tree, cancel, log lines."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.http import StreamingHttpResponse
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from api.idempotency import idempotent
from api.pagination import LogPagination
from tenants.response_access import ResponseAccess
from tenants.scoped_views import ScopedView
from tenants.scoping import require_staff_permission

from .command_views import job_response
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
    """The jobs of one's tenant, newest first; `?parent=<id>` lists the children of one instead."""

    queryset = JOBS.order_by("-created_at", "-id")
    serializer_class = JobSerializer
    filterset_class = JobFilter
    search_fields = ["subject", "kind"]
    ordering_fields = ["created_at", "ended_at", "kind", "status", "position"]

    def get_queryset(self) -> Any:
        """Return the jobs that people started; children are listed by their parent."""
        jobs = super().get_queryset()
        return jobs if "parent" in self.request.query_params else jobs.filter(parent=None)


class JobDetailView(ScopedView, RetrieveAPIView[Job]):
    """One job with its steps, readable at any moment."""

    queryset = JOBS
    serializer_class = JobSerializer


class JobCancelView(ScopedView):
    """Ask a job to stop at its next step boundary and to undo what it did."""

    queryset = JOBS
    serializer_class = JobSerializer

    @extend_schema(request=None, responses={202: JobSerializer})
    @idempotent
    def post(self, request: Request, pk: UUID) -> Response:
        """Cancel a job."""
        job = cancel_job(scope=self.scope, job_id=pk)
        return Response(JobSerializer(job).data, status=202)


class EventStreamRenderer(JSONRenderer):
    """Lets a reader ask for `text/event-stream`. What is refused is a problem in JSON all the same."""

    media_type = "text/event-stream"
    format = "event-stream"


class JobEventsView(ScopedView):
    """Follow a job live, as server-sent events."""

    queryset = Job.objects.all()
    renderer_classes: ClassVar[list[type[BaseRenderer]]] = [EventStreamRenderer, JSONRenderer]  # type: ignore[misc]

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "Last-Event-ID",
                int,
                OpenApiParameter.HEADER,
                description="The last line that was seen; a browser sends it by itself when it comes back.",
            )
        ],
        responses={(200, "text/event-stream"): JobEventSerializer},
    )
    def get(self, request: Request, pk: UUID) -> StreamingHttpResponse:
        """Send `job` now and whenever it changes, `line` for each line of its log, and `end` when it has ended."""
        return event_stream(request, self.get_object(), ResponseAccess(request, self.scope))


class _DecisionView(ScopedView):
    queryset = JOBS
    serializer_class = JobSerializer
    decision: ClassVar[str]
    body_serializer: ClassVar[type[DecisionSerializer]] = DecisionSerializer

    @idempotent
    def decide(self, request: Request, pk: UUID) -> Response:
        """Check access, then the body, then the job's state; return 202 with the job that goes on."""
        body = self.body_serializer(data=request.data)
        if not body.is_valid():
            self.get_object()
            require_staff_permission(self.scope.user, DECIDE_PERMISSION)
            raise ValidationError(body.errors)
        job = decide_job(scope=self.scope, job_id=pk, decision=self.decision, **body.validated_data)
        return job_response(JOBS.get(pk=job.pk), {})


class JobResumeView(_DecisionView):
    """Let a stuck job go on from where it stopped. For staff with `tasks.change_job`."""

    decision = "resume"

    @extend_schema(request=DecisionSerializer, responses={202: AcceptedJobSerializer})
    def post(self, request: Request, pk: UUID) -> Response:
        """Resume a stuck job, forward or back, with new tries and new time."""
        return self.decide(request, pk)


class JobEndView(_DecisionView):
    """End a stuck job, or note an errored one. For staff with `tasks.change_job`."""

    decision = "end"
    body_serializer = EndSerializer

    @extend_schema(request=EndSerializer, responses={202: AcceptedJobSerializer})
    def post(self, request: Request, pk: UUID) -> Response:
        """End a stuck job as failed and free its locks; with `undo`, take back first what it did."""
        return self.decide(request, pk)


class JobRetryView(_DecisionView):
    """Submit the command of an errored job again. For staff with `tasks.change_job`."""

    decision = "retry"

    @extend_schema(request=DecisionSerializer, responses={202: AcceptedJobSerializer})
    def post(self, request: Request, pk: UUID) -> Response:
        """Try an errored job again, as a new job."""
        return self.decide(request, pk)


class JobLinesView(ScopedView, ListAPIView[JobLogLine]):
    """The log of a job: `?after=<id>` gives what was appended since."""

    queryset = Job.objects.all()
    serializer_class = JobLogLineSerializer
    pagination_class = LogPagination

    def get_queryset(self) -> Any:
        """Return the lines of the job, if the scope shows it."""
        jobs = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return JobLogLine.objects.none()
        return JobLogLine.objects.filter(job=get_object_or_404(jobs, pk=self.kwargs["pk"]))
