"""The portal's URL map and the bare view."""

from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from portal.urls import *  # noqa: F403
from portal.urls import urlpatterns


class Bare(APIView):
    """An authenticated view that does nothing."""

    def post(self, request: Request) -> Response:
        """Nothing."""
        return Response({"ok": True})


urlpatterns = [*urlpatterns, path("api/v1/bench/bare/", Bare.as_view())]
