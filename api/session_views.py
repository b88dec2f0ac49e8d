"""Views of the caller's own sessions."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from .auth_serializers import EndedSessionsSerializer, SessionSerializer
from .models import UserSession
from .sessions import digest_session_key, end_other_sessions, end_session


def _get_session_key(request: Request) -> str | None:
    """Return the key of the session that a request belongs to; None for one with a token."""
    key: str | None = request._request.session.session_key  # noqa: SLF001 - Django's own request has the session.
    return None if request.auth is not None else key


class SessionListView(GenericAPIView[UserSession]):
    """The caller's sessions."""

    queryset = UserSession.objects.all()
    serializer_class = SessionSerializer
    ordering_fields = ["created_at", "last_used_at"]
    ordering = ["-last_used_at"]

    def get_queryset(self) -> QuerySet[UserSession]:
        """Return the caller's own sessions that have not ended."""
        if getattr(self, "swagger_fake_view", False):
            none: QuerySet[UserSession] = UserSession.objects.none()
            return none
        usable: QuerySet[UserSession] = UserSession.objects.usable(self.request.user)
        return usable

    @extend_schema(responses=SessionSerializer(many=True), operation_id="auth_sessions_list")
    def get(self, request: Request) -> Response:
        """List the caller's sessions, the last used first. The time of the last use is exact to five minutes."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        context = {"current_digest": digest_session_key(_get_session_key(request))}
        return self.get_paginated_response(SessionSerializer(page, many=True, context=context).data)


class SessionView(APIView):
    """One of the caller's sessions."""

    @extend_schema(responses={204: None}, operation_id="auth_sessions_destroy")
    def delete(self, request: Request, pk: UUID) -> Response:
        """End a session; it is refused from the next request on."""
        if not end_session(request.user, pk):
            raise Http404
        return Response(status=204)


class EndOtherSessionsView(APIView):
    """All of the caller's sessions except for this one."""

    idempotency_key = False

    @extend_schema(request=None, responses=EndedSessionsSerializer, operation_id="auth_sessions_end_others")
    def post(self, request: Request) -> Response:
        """End all of the caller's sessions but this one; with a token, all of them. Tokens stay valid."""
        ended = end_other_sessions(request.user, _get_session_key(request))
        return Response({"ended": ended})
