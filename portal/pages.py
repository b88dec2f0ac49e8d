"""Pages that belong to no room: choosing the tenant, and what every page shows at its top."""

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

from api.page_addresses import nearest_page, require_POST
from api.time_zones import activate_time_zone, time_zone_names, validate_time_zone, zone
from tenants.scoped_pages import SESSION_KEY, PageRequest, page_scope


class SignIn(LoginView):
    """The sign-in page."""

    template_name = "portal/login.html"

    def get_redirect_url(self, request: HttpRequest | None = None) -> str:
        """Where `next` leads to, if that shows a page, else the page above it."""
        address = super().get_redirect_url() if request is None else super().get_redirect_url(request)
        return nearest_page(address) if address else ""


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def preferences(request: PageRequest) -> HttpResponse:
    """Choose in which time zone the pages show times."""
    user = cast("Any", request.user)
    try:
        scope = page_scope(request)
    except PermissionDenied:  # Who belongs to no tenant yet has a time zone all the same.
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
            messages.success(request, _("Saved."))
            return redirect("preferences")
    tenant = scope.tenant if scope else None
    context = {
        "scope": scope,
        "chosen": chosen,
        "error": error,
        "names": sorted(time_zone_names()),
        "without_choice": zone(getattr(tenant, "time_zone", "")).key,
        "now": timezone.now(),
    }
    return render(request, "portal/preferences.html", context, status=400 if error else 200)


@login_required
@require_POST
def choose_tenant(request: HttpRequest) -> HttpResponse:
    """Remember which tenant the pages show. A tenant that is not one's own is simply not shown."""
    request.session[SESSION_KEY] = request.POST.get("tenant", "")[:50]
    return HttpResponseRedirect("/")
