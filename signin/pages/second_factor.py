"""The user's own second factors: set them up, renew the recovery codes, disable them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, cast

import segno
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods

from api.auth_serializers import MAX_CODE_LENGTH
from api.domain_errors import ConflictError, DomainError
from api.errors import status_of
from api.form_keys import mark_refused
from tenants.models import User
from tenants.page_forms import split_errors
from tenants.scoped_pages import PageRequest, find_scope

from ..models import Passkey
from ..passkey_challenges import find_site, offer_check, read_proof
from ..services import second_factors
from ..services.second_factors import OWN_FACTORS, Proof

# For this many seconds after a factor was proved, another one may be added.
PROOF_SECONDS = 300
_PROVED_KEY = "second_factor_proved_at"


@login_required
@never_cache
@require_GET
def second_factor_page(request: PageRequest) -> HttpResponse:
    """Show whether the user has a second factor, and what can be done with it."""
    user = cast("User", request.user)
    demanding = [one.tenant.name for one in user.own_memberships if one.tenant.second_factor_required]
    context = {
        "scope": find_scope(request),
        "tab": "second-factor",
        "factor": user.second_factor,
        "has_own_factor": user.second_factor in OWN_FACTORS,
        "has_app": user.second_factor == User.SecondFactor.TOTP,
        "passkeys": Passkey.objects.filter(user=user),
        "can_have_passkeys": find_site(request) is not None,
        "codes_left": second_factors.count_recovery_codes(user),
        "demanding": demanding,
        "is_demanded_of_staff": user.is_staff and settings.SECOND_FACTOR_FOR_STAFF,
    }
    return render(request, "signin/second_factor.html", context)


@login_required
@never_cache
@sensitive_post_parameters("code")
@require_http_methods(["GET", "POST"])
def set_up_page(request: PageRequest) -> HttpResponse:
    """Show the QR code of an app that is being set up. A POST without a code begins, one with the app's code completes it."""
    if lacks_recent_proof(request):
        return redirect(f"{reverse('second-factor-prove')}?for=app")
    user = cast("User", request.user)
    refused: DomainError | None = None
    try:
        if request.method == "POST" and "code" not in request.POST:
            second_factors.begin_setup(user)
            return redirect("second-factor-set-up")
        if request.method == "POST":
            codes = second_factors.confirm_setup(user, _read_code(request))
            return show_codes(request, codes) if codes else redirect("second-factor-page")
    except ConflictError as error:
        messages.warning(request, str(error.detail))
        return redirect("second-factor-page")
    except DomainError as error:
        mark_refused(request)
        refused = error
    secret = second_factors.find_unconfirmed_secret(user)
    if not secret:
        return redirect("second-factor-page")
    context = {
        "scope": find_scope(request),
        "tab": "second-factor",
        "secret": " ".join(secret[start : start + 4] for start in range(0, len(secret), 4)),
        "qr_code": _draw_qr_code(second_factors.build_provisioning_uri(user, secret)),
        **split_errors(refused, ("code",)),
    }
    status = status_of(refused) if refused else 200
    return render(request, "signin/second_factor_set_up.html", context, status=status)


@login_required
@never_cache
@sensitive_post_parameters("code")
@require_http_methods(["GET", "POST"])
def disable_page(request: PageRequest) -> HttpResponse:
    """Ask for a factor; on POST with the right one, remove the authenticator app."""

    def disable(user: User, proof: Proof) -> HttpResponse:
        second_factors.disable_app(user, proof)
        messages.success(request, _("The authenticator app is disabled."))
        return redirect("second-factor-page")

    if cast("User", request.user).second_factor != User.SecondFactor.TOTP:
        return redirect("second-factor-page")
    return run_with_proof(request, "signin/second_factor_disable.html", disable)


@login_required
@never_cache
@sensitive_post_parameters("code")
@require_http_methods(["GET", "POST"])
def recovery_codes_page(request: PageRequest) -> HttpResponse:
    """Ask for a factor; on POST with the right one, replace the recovery codes and show the new ones, this once."""
    return run_with_proof(
        request,
        "signin/recovery_codes_renew.html",
        lambda user, proof: show_codes(request, second_factors.renew_recovery_codes(user, proof)),
    )


@login_required
@never_cache
@sensitive_post_parameters("code")
@require_http_methods(["GET", "POST"])
def prove_page(request: PageRequest) -> HttpResponse:
    """Ask for a factor that the user has before another one is added: a session alone must not be enough for that."""
    purpose = request.GET.get("for", "")

    def go_on(user: User, proof: Proof) -> HttpResponse:
        second_factors.require_proof(user, proof)
        request.session[_PROVED_KEY] = time.time()
        if purpose != "app":
            return redirect("passkey-new")
        try:
            second_factors.begin_setup(user)
        except ConflictError as error:
            messages.warning(request, str(error.detail))
            return redirect("second-factor-page")
        return redirect("second-factor-set-up")

    return run_with_proof(request, "signin/second_factor_prove.html", go_on, {"purpose": purpose})


def lacks_recent_proof(request: PageRequest) -> bool:
    """Return whether the user has a factor and has not shown it a short time ago."""
    if cast("User", request.user).second_factor not in OWN_FACTORS:
        return False
    return not 0 <= time.time() - request.session.get(_PROVED_KEY, 0) < PROOF_SECONDS


def run_with_proof(
    request: PageRequest,
    template: str,
    carry_out: Callable[[User, Proof], HttpResponse],
    context: Mapping[str, Any] | None = None,
) -> HttpResponse:
    """Ask for a factor of the user; on POST, return what `carry_out` returns for it, or the form with the refusal.

    A user without a factor is sent to the page that sets one up.
    """
    user = cast("User", request.user)
    refused: DomainError | None = None
    if user.second_factor not in OWN_FACTORS:
        return redirect("second-factor-page")
    if request.method == "POST":
        try:
            return carry_out(user, read_proof(request, user))
        except DomainError as error:
            mark_refused(request)
            refused = error
    shown: dict[str, Any] = {
        "scope": find_scope(request),
        "tab": "second-factor",
        "has_app": user.second_factor == User.SecondFactor.TOTP,
        "check_options": offer_check(request, user),
        **(context or {}),
        **split_errors(refused, ("code",)),
    }
    return render(request, template, shown, status=status_of(refused) if refused else 200)


def show_codes(request: PageRequest, codes: list[str]) -> HttpResponse:
    """Show recovery codes, this once."""
    # No redirect: the codes are stored nowhere.
    context = {"scope": find_scope(request), "tab": "second-factor", "codes": codes}
    return render(request, "signin/recovery_codes.html", context)


def _read_code(request: HttpRequest) -> str:
    return request.POST.get("code", "")[:MAX_CODE_LENGTH].strip()


def _draw_qr_code(text: str) -> SafeString:
    """Return a QR code as an SVG element, without styles and scripts, which our security policy would refuse."""
    drawn = segno.make(text, error="m", micro=False)
    svg = drawn.svg_inline(scale=4, border=4, dark="#000", light="#fff", svgclass="qr-code", lineclass=None)
    return mark_safe(svg)  # noqa: S308 - the library writes numbers alone; the text is in the modules of the code.
