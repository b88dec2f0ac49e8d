"""Jobs over REST: list, detail with the step tree, cancel, log lines."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from portal.api.idempotency import idempotent
from portal.api.paging import CursorLines
from portal.api.scoping import ScopedView

from .filters import JobFilter
from .models import Job, JobLogLine
from .serializers import JobLogLineSerializer, JobSerializer
from .services import cancel_job

JOBS = Job.objects.select_related("created_by").prefetch_related("steps", "children")


class JobList(ScopedView, ListAPIView[Job]):
    """The jobs of one's tenant, newest first."""

    queryset = JOBS.order_by("-created_at", "-id")
    serializer_class = JobSerializer
    filterset_class = JobFilter
    search_fields = ["subject", "kind"]
    ordering_fields = ["created_at", "ended_at", "kind", "status"]


class JobDetail(ScopedView, RetrieveAPIView[Job]):
    """One job with its steps, readable at any moment."""

    queryset = JOBS
    serializer_class = JobSerializer


class JobCancel(ScopedView):
    """Ask a job to stop at its next step boundary and to undo what it did."""

    queryset = JOBS
    serializer_class = JobSerializer

    @extend_schema(request=None, responses={202: JobSerializer})
    @idempotent
    def post(self, request: Request, pk: UUID) -> Response:
        """Cancel a job."""
        job = cancel_job(scope=self.scope, job_id=pk)
        return Response(JobSerializer(job).data, status=202)


class JobLines(ScopedView, ListAPIView[JobLogLine]):
    """The log of a job: `?after=<id>` gives what was appended since."""

    queryset = JOBS
    serializer_class = JobLogLineSerializer
    pagination_class = CursorLines
    filter_backends: list[Any] = []

    def get_queryset(self) -> Any:
        """The lines of the job, if the scope shows it."""
        jobs = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return JobLogLine.objects.none()
        return JobLogLine.objects.filter(job__in=jobs.filter(pk=self.kwargs["pk"])[:1])
