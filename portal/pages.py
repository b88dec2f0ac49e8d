"""Pages that belong to no room: choosing the tenant, and what every page shows at its top."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.views.decorators.http import require_POST

from portal.api.scoped_pages import SESSION_KEY


@login_required
@require_POST
def choose_tenant(request: HttpRequest) -> HttpResponse:
    """Remember which tenant the pages show. A tenant that is not one's own is simply not shown."""
    request.session[SESSION_KEY] = request.POST.get("tenant", "")[:50]
    return HttpResponseRedirect("/")
