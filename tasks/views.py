"""Jobs over REST: list, detail with the step tree, cancel, log lines."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.shortcuts import get_object_or_404
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from portal.api.idempotency import idempotent
from portal.api.paging import CursorLines
from portal.api.prefer import preferred_wait
from portal.api.scoped_views import ScopedView

from .filters import JobFilter
from .models import Job, JobLogLine
from .serializers import JobLogLineSerializer, JobSerializer
from .services import cancel_job, wait_for_end

JOBS = Job.objects.select_related("created_by").prefetch_related("steps")


def accepted(job: Job | None, body: dict[str, Any]) -> Response:
    """The answer to accepted work: 202 with the job and where to follow it; 200 when there was nothing to do."""
    if job is None:
        return Response({**body, "job": None}, status=200)
    location = reverse("job-detail", kwargs={"pk": job.pk})
    return Response({**body, "job": JobSerializer(job).data}, status=202, headers={"Location": location})


def wait_if_preferred(request: Request, response: Response) -> bool:
    """Honour `Prefer: wait=N` on an answer to accepted work; whether its job has ended by now.

    Call it after the transaction is committed: the worker sees nothing before that.
    """
    seconds = preferred_wait(request)
    if response.status_code != 202 or not seconds:
        return False
    job = wait_for_end(JOBS.get(pk=response.data["job"]["id"]), seconds)
    response.data["job"] = JobSerializer(job).data
    response["Preference-Applied"] = f"wait={seconds}"
    if job.has_ended:
        response.status_code = 200
    return job.has_ended


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

    queryset = Job.objects.all()
    serializer_class = JobLogLineSerializer
    pagination_class = CursorLines

    def get_queryset(self) -> Any:
        """The lines of the job, if the scope shows it."""
        jobs = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return JobLogLine.objects.none()
        return JobLogLine.objects.filter(job=get_object_or_404(jobs, pk=self.kwargs["pk"]))
