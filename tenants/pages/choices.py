"""The language of pages, and the selection of the tenant that they show."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.i18n import set_language

from api.page_addresses import find_nearest_page, require_POST

from ..models import User
from ..scoped_pages import SESSION_KEY


def set_language_cookie(response: HttpResponse, language: str) -> None:
    """Make the browser ask for pages in a language; with "", leave it as it is."""
    if language not in dict(settings.LANGUAGES):
        return
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        language,
        max_age=settings.LANGUAGE_COOKIE_AGE,
        path=settings.LANGUAGE_COOKIE_PATH,
        domain=settings.LANGUAGE_COOKIE_DOMAIN,
        secure=settings.LANGUAGE_COOKIE_SECURE,
        httponly=settings.LANGUAGE_COOKIE_HTTPONLY,
        samesite=settings.LANGUAGE_COOKIE_SAMESITE,
    )


@login_required
@require_POST
def select_tenant_page(request: HttpRequest) -> HttpResponse:
    """Store the tenant that pages show in the session, and return to the page in `next`.

    `page_scope` ignores a tenant that the user does not belong to.
    """
    request.session[SESSION_KEY] = request.POST.get("tenant", "")[:50]
    address = request.POST.get("next", "")
    # "//host" and "/\host" begin like paths of this site, but lead to another one.
    is_own = url_has_allowed_host_and_scheme(address, None)
    return HttpResponseRedirect(find_nearest_page(address) if is_own else "/")


@require_POST
def set_language_page(request: HttpRequest) -> HttpResponse:
    """Set the language of the pages, from the menu of the user or of the sign-in page; for a user, also for later sign-ins."""
    response = set_language(request)
    code = request.POST.get("language", "")
    if request.user.is_authenticated and code in dict(settings.LANGUAGES):
        User.objects.filter(pk=request.user.pk).update(language=code)
    return response
