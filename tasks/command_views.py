"""Views that record a command: they answer 202 with its job, or, with `Prefer: wait`, the ended job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.db import models
from django.urls import reverse
from rest_framework.exceptions import NotAuthenticated, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from api.idempotency import run_idempotent
from api.prefer import parse_preferred_wait
from tenants.response_access import ResponseAccess
from tenants.scoped_views import ScopedView
from tenants.scoping import Role

from .models import Job
from .serializers import JobSerializer
from .services import wait_for_job


def job_response(job: Job | None, body: dict[str, Any]) -> Response:
    """Return 202 with the job and its URL as `Location`; 200 when there was nothing to do."""
    if job is None:
        return Response({**body, "job": None}, status=200)
    location = reverse("job-detail", kwargs={"pk": job.pk})
    return Response({**body, "job": JobSerializer(job).data}, status=202, headers={"Location": location})


class CommandView(ScopedView):
    """A view whose POST, PATCH or DELETE records a command.

    A subclass calls one service inside `run_command`, checks the body with `validate_body`, and renders the objects that
    the job may have changed in `refresh_body`.
    """

    # The model whose permission and role the caller needs, if it is not the model of the view's queryset.
    role_model: ClassVar[type[models.Model] | None] = None
    # Whether its service is an operation, whose command a policy may hold back: its 202 then has a request in place of the job.
    may_be_held_back: ClassVar[bool] = False

    def require_access(self, role: Role) -> None:
        """Raise 404 when the scope does not show the object of the path, 403 when the caller's role is too low."""
        if "pk" in self.kwargs:
            self.get_object()
        self.scope.require(role, self.role_model or self.get_queryset().model)

    def validate_body(self, serializer: BaseSerializer[Any], role: Role) -> dict[str, Any]:
        """Return the validated data of a body or a query.

        Raises 404 and 403 before 400, so that the errors of a body reveal nothing about objects that the caller may not
        change. With a valid body, access is not checked here, because the service checks it under its lock.
        """
        if not serializer.is_valid():
            self.require_access(role)
            raise ValidationError(dict(serializer.errors))
        return dict(serializer.validated_data)

    def run_command(self, request: Request, record: Callable[[], Response]) -> Response:
        """Return the response of `record`; if the request prefers to wait, return it when its job has ended.

        A POST is carried out once under its `Idempotency-Key`. The wait begins after the commit, because workers do not
        see the job before. The response after the wait is not stored under the key.
        """
        is_post = request.method == "POST"
        response = run_idempotent(request, request.user, record) if is_post else record()
        if self.wait_if_preferred(request, response):
            self.refresh_body(response.data)
        return response

    def refresh_body(self, body: dict[str, Any]) -> None:
        """Render the objects in the body that the job has changed. `body["job"]` is already up to date."""

    def wait_if_preferred(self, request: Request, response: Response) -> bool:
        """Wait for the job as `Prefer: wait=N` requests, and return whether the job has ended.

        Raises 401 when the caller's credentials or membership have ended meanwhile; the job goes on. The view's scope is
        renewed, so that the response contains only what the caller may see now.
        """
        seconds = parse_preferred_wait(request)
        if response.status_code != 202 or not seconds or not response.data.get("job"):
            return False  # Without a job, the change was deferred until somebody agrees to it.
        job = wait_for_job(Job.objects.for_display().get(pk=response.data["job"]["id"]), seconds)
        scope = ResponseAccess(request, self.scope).get_scope()
        if scope is None:
            raise NotAuthenticated
        self.scope = scope
        response.data["job"] = JobSerializer(job).data
        response["Preference-Applied"] = f"wait={seconds}"
        if job.has_ended:
            response.status_code = 200
        return job.has_ended
