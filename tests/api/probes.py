"""Views for tests, which do on request what no endpoint does."""

from __future__ import annotations

import time
from typing import Any

import django_filters
from django.core import exceptions as django_exceptions
from django.db import connection, transaction
from django.http import Http404
from django.urls import include, path
from rest_framework import exceptions, serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api import errors
from api.auth_serializers import TokenSerializer
from api.domain_errors import ConflictError
from api.filtering import ListFilterSet
from api.idempotency import idempotent
from api.models import ApiToken, IdempotencyKey
from api.pagination import LogPagination


def run_sql(sql: str, *parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)


def deadlock_timeout() -> None:
    with transaction.atomic():
        run_sql("SET LOCAL lock_timeout = '50ms'")
        run_sql("SELECT pg_advisory_xact_lock(4711)")


def two_of_a_kind() -> None:
    user = ApiToken.objects.get().user
    with transaction.atomic():
        IdempotencyKey.objects.create(user=user, key="x", request_hash="")
        IdempotencyKey.objects.create(user=user, key="x", request_hash="")


def bug() -> None:
    raise RuntimeError("the password is swordfish")


def throw(error: Exception) -> Any:
    def thrower() -> None:
        raise error

    return thrower


TROUBLES: dict[str, Any] = {
    "refused": throw(ConflictError("wrong_state", "Not from here.", allowed=["start"], retry_after=7)),
    "not-found": throw(Http404("tenants.models.User matching query")),
    "denied": throw(django_exceptions.PermissionDenied("secret reason")),
    "django-invalid": throw(django_exceptions.ValidationError({"name": ["Too long."]})),
    "drf-invalid": throw(exceptions.ValidationError({"disk": {"size": ["Too large."]}})),
    "drf-invalid-list": throw(exceptions.ValidationError(["No."])),
    "suspicious": throw(django_exceptions.SuspiciousOperation("x")),
    "too-big": throw(django_exceptions.RequestDataTooBig("x")),
    "bad-request": throw(django_exceptions.BadRequest("x")),
    "drf-detail-dict": throw(exceptions.PermissionDenied({"a": "b"})),
    "locked": deadlock_timeout,
    "number-too-large": lambda: run_sql("SELECT %s::int", "99999999999999"),
    "null-in-sql": lambda: run_sql("SELECT %s", "a\x00b"),
    "null-in-lookup": lambda: ApiToken.objects.filter(name="a\x00b").exists(),
    "double": two_of_a_kind,
    "cancelled": lambda: run_sql("SELECT pg_cancel_backend(pg_backend_pid())"),
    "bug": bug,
}


class Trouble(APIView):
    def get(self, request: Request, name: str) -> Response:
        TROUBLES[name]()
        return Response({})


class Echo(APIView):
    def post(self, request: Request) -> Response:
        return Response(request.data)


class Change(APIView):
    """Creates a token row slowly, so that simultaneous requests meet; refuses on request."""

    seconds = 0.2

    @idempotent
    def post(self, request: Request) -> Response:
        refusal = request.data.get("refuse")
        token, _secret = ApiToken.objects.create(
            user=request.user, name=request.data.get("name", "made"), expiry=None
        )
        time.sleep(self.seconds)
        if refusal == "raise":
            raise ConflictError("wrong_state", "No.")
        if refusal == "return":
            return Response({"code": "returned"}, status=409)
        if refusal == "nothing":
            return Response(status=204)
        body = {"b": 1.0, "a": [None, "字"], "id": token.id, "at": token.created}
        return Response(body, status=201, headers={"Location": f"/made/{token.id}", "ETag": '"1"'})


class TokenFilter(ListFilterSet):
    named = django_filters.CharFilter(field_name="name", max_length=20)
    count = django_filters.NumberFilter(field_name="name")
    one_of = django_filters.MultipleChoiceFilter(field_name="name", choices=[("a", "a"), ("b", "b")])
    made = django_filters.IsoDateTimeFromToRangeFilter(field_name="created")
    expired = django_filters.BooleanFilter(field_name="expiry", lookup_expr="isnull")
    key = django_filters.UUIDFilter(field_name="id")

    class Meta:
        model = ApiToken
        fields: list[str] = []


class TokenList(ListAPIView[ApiToken]):
    queryset = ApiToken.objects.all()
    serializer_class = TokenSerializer
    filterset_class = TokenFilter
    search_fields = ["name"]
    ordering_fields = ["name", "created"]


class BareList(ListAPIView[ApiToken]):
    queryset = ApiToken.objects.all()
    serializer_class = TokenSerializer


class KeySerializer(serializers.ModelSerializer[IdempotencyKey]):
    class Meta:
        model = IdempotencyKey
        fields = ["id", "key"]


class Lines(ListAPIView[IdempotencyKey]):
    queryset = IdempotencyKey.objects.all()
    serializer_class = KeySerializer
    pagination_class = LogPagination


urlpatterns = [
    path("api/v1/", include("api.urls")),
    path("api/trouble/<str:name>/", Trouble.as_view()),
    path("api/echo/", Echo.as_view()),
    path("api/change/", Change.as_view()),
    path("api/list/", TokenList.as_view()),
    path("api/bare/", BareList.as_view()),
    path("api/lines/", Lines.as_view()),
]

handler400 = errors.bad_request
handler403 = errors.permission_denied
handler404 = errors.page_not_found
handler500 = errors.server_error
