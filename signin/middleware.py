"""Middleware that sends users without a demanded second factor to the page that sets one up."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django_htmx.http import HttpResponseClientRedirect

from api.page_addresses import is_for_programs
from api.page_errors import is_script
from api.second_factor import SECOND_FACTOR_REQUIRED, lacks_staff_second_factor
from tenants.scoped_pages import SecondFactorMissingError

# Where staff without the factor come: to set it up, to leave, to read in their language.
_OPEN = ("/preferences/second-factor/", "/login/", "/logout/", "/signed-out/", "/sign-in/", "/language/")


class SecondFactorMiddleware:
    """Demand the second factor of pages: of staff everywhere, of members in tenants that demand one.

    REST demands it in `api/authentication.py` and where the scope of a request is built.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request."""
        is_demanded = (
            settings.SECOND_FACTOR_FOR_STAFF
            and not is_for_programs(request.path)
            and not request.path.startswith(_OPEN)
            and request.user.is_authenticated
            and lacks_staff_second_factor(request.user)
        )
        return _redirect_to_setup(request) if is_demanded else self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Redirect a member whose tenant demands the factor; any other error is handled elsewhere."""
        if isinstance(exception, SecondFactorMissingError) and not is_for_programs(request.path):
            return _redirect_to_setup(request)
        return None


def _redirect_to_setup(request: HttpRequest) -> HttpResponse:
    if is_script(request):
        return HttpResponseClientRedirect(reverse("second-factor-page"))
    messages.warning(request, SECOND_FACTOR_REQUIRED)
    return redirect("second-factor-page")
