"""The sign-in page, and signing out."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.views import LoginView
from django.contrib.auth.views import LogoutView as DjangoLogoutView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from api.page_addresses import find_nearest_page
from tenants.models import User
from tenants.pages.choices import set_language_cookie

from ..errors import SignInError
from ..oidc.flow import build_logout_url
from ..services.second_factors import OWN_FACTORS
from ..sessions import keep_pending, open_session, read_provider


def list_provider_links(next_address: str) -> list[dict[str, str]]:
    """Return the name and the address of each provider, for the buttons of the sign-in page."""
    query = f"?{urlencode({'next': next_address})}" if next_address else ""
    return [
        {"name": provider.name, "url": reverse("provider-sign-in", args=[provider.key]) + query}
        for provider in settings.OIDC_PROVIDERS.values()
    ]


class SignInView(LoginView):
    """Show the sign-in page."""

    template_name = "signin/login.html"

    def get_redirect_url(self, request: HttpRequest | None = None) -> str:
        """Return the address in `next` if it shows a page, else that of the nearest page above it."""
        address = super().get_redirect_url() if request is None else super().get_redirect_url(request)
        return find_nearest_page(address) if address else ""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the buttons of the providers."""
        return super().get_context_data(**kwargs) | {
            "providers": list_provider_links(self.get_redirect_url())
        }

    def form_valid(self, form: Any) -> HttpResponse:
        """Open the session of a user whose password was correct."""
        user = cast("User", form.get_user())
        directory = getattr(user, "directory", "")
        method = "ldap" if directory else "password"
        return finish_sign_in(self.request, user, self.get_success_url(), method=method, provider=directory)


class AdminSignInView(SignInView):
    """The sign-in page of the admin, which refuses users who are not staff."""

    authentication_form = AdminAuthenticationForm
    next_page = "admin:index"


def finish_sign_in(request: HttpRequest, user: User, address: str, **session: Any) -> HttpResponse:
    """Open the session of a user whose identity is proved; ask for the second factor first, where the user has one here."""
    if user.second_factor in OWN_FACTORS and not session.get("factor"):
        keep_pending(request, user, address, **session)
        return redirect("sign-in-code")
    return open_and_redirect(request, user, address, **session)


def open_and_redirect(request: HttpRequest, user: User, address: str, **session: Any) -> HttpResponse:
    """Open the session, and redirect to a page in the language that the user has selected in their profile."""
    open_session(request, user, **session)
    response = redirect(address)
    set_language_cookie(response, user.language)
    return response


def render_refusal(request: HttpRequest, error: SignInError) -> HttpResponse:
    """Return the sign-in page with the reason why a sign-in was refused."""
    context = {"refusal": error.message, "providers": list_provider_links(""), "next": ""}
    return render(request, "signin/login.html", context, status=error.status)


class SignOutView(DjangoLogoutView):
    """End the session, also at the provider with which it was opened."""

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """End the session. The page after it leads on to the provider."""
        key, id_token = read_provider(request.session)
        response = super().post(request, *args, **kwargs)
        provider = settings.OIDC_PROVIDERS.get(key)
        if provider is None:
            return response
        url = build_logout_url(
            provider, id_token=id_token, return_url=request.build_absolute_uri(reverse("signed-out"))
        )
        if not url:
            return redirect("signed-out")
        # No redirect: browsers apply `form-action` of our security policy to redirects after a form, too.
        return render(request, "signin/signed_out.html", {"provider": provider, "url": url})


@never_cache
@require_GET
def signed_out_page(request: HttpRequest) -> HttpResponse:
    """Say that the session has ended, also at the provider, which leads back to here."""
    return render(request, "signin/signed_out.html")
