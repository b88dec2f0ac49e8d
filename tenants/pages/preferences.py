"""Pages of a user: signing in, preferences, and the selection of a tenant."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from api.page_addresses import find_nearest_page, require_POST
from api.time_zones import activate_time_zone, find_time_zone, list_time_zone_names, validate_time_zone

from ..scoped_pages import SESSION_KEY, PageRequest, page_scope


class SignInView(LoginView):
    """Show the sign-in page."""

    template_name = "tenants/login.html"

    def get_redirect_url(self, request: HttpRequest | None = None) -> str:
        """Return the address in `next` if it shows a page, else that of the nearest page above it."""
        address = super().get_redirect_url() if request is None else super().get_redirect_url(request)
        return find_nearest_page(address) if address else ""


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def preferences_page(request: PageRequest) -> HttpResponse:
    """Show the user's preferences; on POST, save the time zone in which pages show times."""
    user = cast("Any", request.user)
    try:
        scope = page_scope(request)
    except PermissionDenied:  # A user without a tenant has a time zone too.
        scope = None
        activate_time_zone(user, None)
    chosen, error = user.time_zone, ""
    if request.method == "POST":
        chosen = request.POST.get("time_zone", "")[:100].replace("\x00", "")
        try:
            if chosen:
                validate_time_zone(chosen)
        except ValidationError as refused:
            error = refused.messages[0]
        else:
            user.time_zone = chosen
            user.save(update_fields=["time_zone"])
            messages.success(request, _("Changes saved."))
            return redirect("preferences")
    tenant = scope.tenant if scope else None
    context = {
        "scope": scope,
        "chosen": chosen,
        "error": error,
        "names": sorted(list_time_zone_names()),
        "without_choice": find_time_zone(getattr(tenant, "time_zone", "")).key,
        "now": timezone.now(),
    }
    return render(request, "tenants/preferences.html", context, status=400 if error else 200)


@login_required
@require_POST
def select_tenant_page(request: HttpRequest) -> HttpResponse:
    """Store the tenant that pages show in the session. `page_scope` ignores one that the user does not belong to."""
    request.session[SESSION_KEY] = request.POST.get("tenant", "")[:50]
    return HttpResponseRedirect("/")
