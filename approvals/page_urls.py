"""Addresses of the pages of requests."""

from django.http import HttpRequest, HttpResponse
from django.urls import path


def _todo(request: HttpRequest, pk: object) -> HttpResponse:
    return HttpResponse("todo")


urlpatterns = [path("requests/<uuid:pk>/", _todo, name="request-detail-page")]
