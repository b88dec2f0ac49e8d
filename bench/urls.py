"""The portal's URL map and a bare view, which others are compared with."""

from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from portal.urls import *  # noqa: F403
from portal.urls import urlpatterns


class BareView(APIView):
    """An authenticated view that does nothing."""

    def post(self, request: Request) -> Response:
        """Return an answer without doing anything."""
        return Response({"ok": True})


urlpatterns = [*urlpatterns, path("api/v1/bench/bare/", BareView.as_view())]
