"""Pages that belong to no room: choosing the tenant, and what every page shows at its top."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from portal.api.page_addresses import page_at_or_above, require_POST
from portal.api.scoped_pages import SESSION_KEY


class SignIn(LoginView):
    """The sign-in page."""

    template_name = "portal/login.html"

    def get_redirect_url(self) -> str:
        """Where `next` leads to, if that shows a page, else the page above it."""
        address = super().get_redirect_url()
        return page_at_or_above(address) if address else ""


@login_required
@require_POST
def choose_tenant(request: HttpRequest) -> HttpResponse:
    """Remember which tenant the pages show. A tenant that is not one's own is simply not shown."""
    request.session[SESSION_KEY] = request.POST.get("tenant", "")[:50]
    return HttpResponseRedirect("/")
