"""The user's own second factor: set it up, renew its recovery codes, disable it."""

from __future__ import annotations

from typing import Any, cast

import segno
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
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

from ..services import second_factors


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
    user = cast("User", request.user)
    refused: DomainError | None = None
    try:
        if request.method == "POST" and "code" not in request.POST:
            second_factors.begin_setup(user)
            return redirect("second-factor-set-up")
        if request.method == "POST":
            codes = second_factors.confirm_setup(user, _read_code(request))
            return _show_codes(request, codes)
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
    """Ask for a code; on POST with the right one, remove the second factor."""
    refused: DomainError | None = None
    if request.method == "POST":
        try:
            second_factors.disable(cast("User", request.user), _read_code(request))
        except DomainError as error:
            refused = error
        else:
            messages.success(request, _("The second factor is disabled."))
            return redirect("second-factor-page")
    return _ask_for_code(request, "signin/second_factor_disable.html", refused)


@login_required
@never_cache
@sensitive_post_parameters("code")
@require_http_methods(["GET", "POST"])
def recovery_codes_page(request: PageRequest) -> HttpResponse:
    """Ask for a code; on POST with the right one, replace the recovery codes and show the new ones, this once."""
    refused: DomainError | None = None
    if request.method == "POST":
        try:
            codes = second_factors.renew_recovery_codes(cast("User", request.user), _read_code(request))
        except DomainError as error:
            refused = error
        else:
            return _show_codes(request, codes)
    return _ask_for_code(request, "signin/recovery_codes_renew.html", refused)


def _ask_for_code(request: PageRequest, template: str, refused: DomainError | None) -> HttpResponse:
    if cast("User", request.user).second_factor != User.SecondFactor.TOTP:
        return redirect("second-factor-page")
    if refused is not None:
        mark_refused(request)
    context: dict[str, Any] = {
        "scope": find_scope(request),
        "tab": "second-factor",
        **split_errors(refused, ("code",)),
    }
    return render(request, template, context, status=status_of(refused) if refused else 200)


def _show_codes(request: PageRequest, codes: list[str]) -> HttpResponse:
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
