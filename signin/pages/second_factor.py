"""The user's own second factors: set them up, renew the recovery codes, disable them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, cast
from uuid import UUID

import segno
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods
from rest_framework.exceptions import ValidationError

from api.auth_serializers import MAX_CODE_LENGTH
from api.domain_errors import ConflictError, DomainError, InvalidFieldsError
from api.errors import status_of
from api.form_keys import mark_refused
from api.serializers import PlainCharField
from tenants.models import User
from tenants.page_forms import split_errors
from tenants.scoped_pages import PageRequest, find_scope

from ..models import Passkey
from ..passkey_challenges import find_site, offer_check, offer_registration, read_proof, take_answer
from ..services import second_factors
from ..services.second_factors import OWN_FACTORS

# A factor that was proved this short a time ago lets one add another.
PROOF_SECONDS = 300
MAX_NAME_LENGTH = 100
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
    if _lacks_recent_proof(request):
        return redirect(f"{reverse('second-factor-prove')}?for=app")
    user = cast("User", request.user)
    refused: DomainError | None = None
    try:
        if request.method == "POST" and "code" not in request.POST:
            second_factors.begin_setup(user)
            return redirect("second-factor-set-up")
        if request.method == "POST":
            codes = second_factors.confirm_setup(user, _read_code(request))
            return _show_codes(request, codes) if codes else redirect("second-factor-page")
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
    refused: DomainError | None = None
    if request.method == "POST":
        try:
            user = cast("User", request.user)
            second_factors.disable_app(user, read_proof(request, user))
        except DomainError as error:
            refused = error
        else:
            messages.success(request, _("The authenticator app is disabled."))
            return redirect("second-factor-page")
    return _ask_for_proof(request, "signin/second_factor_disable.html", refused)


@login_required
@never_cache
@sensitive_post_parameters("code")
@require_http_methods(["GET", "POST"])
def recovery_codes_page(request: PageRequest) -> HttpResponse:
    """Ask for a factor; on POST with the right one, replace the recovery codes and show the new ones, this once."""
    refused: DomainError | None = None
    if request.method == "POST":
        try:
            user = cast("User", request.user)
            codes = second_factors.renew_recovery_codes(user, read_proof(request, user))
        except DomainError as error:
            refused = error
        else:
            return _show_codes(request, codes)
    return _ask_for_proof(request, "signin/recovery_codes_renew.html", refused)


@login_required
@never_cache
@sensitive_post_parameters("code")
@require_http_methods(["GET", "POST"])
def prove_page(request: PageRequest) -> HttpResponse:
    """Ask for a factor that the user has before another one is added: a session alone must not be enough for that."""
    user, purpose = cast("User", request.user), request.GET.get("for", "")
    refused: DomainError | None = None
    if request.method == "POST":
        try:
            second_factors.require_proof(user, read_proof(request, user))
            request.session[_PROVED_KEY] = time.time()
            if purpose != "app":
                return redirect("passkey-new")
            second_factors.begin_setup(user)
            return redirect("second-factor-set-up")
        except ConflictError as error:
            messages.warning(request, str(error.detail))
            return redirect("second-factor-page")
        except DomainError as error:
            refused = error
    return _ask_for_proof(request, "signin/second_factor_prove.html", refused, {"purpose": purpose})


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def new_passkey_page(request: PageRequest) -> HttpResponse:
    """Ask for a name, and let the browser create a passkey; on POST with it, add it."""
    if _lacks_recent_proof(request):
        return redirect(f"{reverse('second-factor-prove')}?for=passkey")
    user = cast("User", request.user)
    name = request.POST.get("name", "").strip()
    refused: DomainError | None = None
    try:
        if request.method == "POST":
            answer = take_answer(request, user, "register")
            codes = second_factors.add_passkey(user, answer, _validate_name(name))
            messages.success(request, _("The passkey %(name)s was added.") % {"name": name})
            return _show_codes(request, codes) if codes else redirect("second-factor-page")
    except ConflictError as error:
        messages.warning(request, str(error.detail))
        return redirect("second-factor-page")
    except DomainError as error:
        mark_refused(request)
        refused = error
    try:
        options = offer_registration(request, user)
    except ConflictError as error:
        messages.warning(request, str(error.detail))
        return redirect("second-factor-page")
    if not options:
        messages.warning(request, _("Passkeys need an address with a host name; this one has an IP address."))
        return redirect("second-factor-page")
    context = {
        "scope": find_scope(request),
        "tab": "second-factor",
        "name": name,
        "registration_options": options,
        **split_errors(refused, ("name",)),
    }
    return render(request, "signin/passkey_new.html", context, status=status_of(refused) if refused else 200)


@login_required
@never_cache
@sensitive_post_parameters("code")
@require_http_methods(["GET", "POST"])
def remove_passkey_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Ask for a factor; on POST with the right one, remove the passkey."""
    user = cast("User", request.user)
    passkey = get_object_or_404(Passkey, pk=pk, user=user)
    refused: DomainError | None = None
    if request.method == "POST":
        try:
            second_factors.remove_passkey(user, pk, read_proof(request, user))
        except DomainError as error:
            refused = error
        else:
            messages.success(request, _("The passkey %(name)s was removed.") % {"name": passkey.name})
            return redirect("second-factor-page")
    return _ask_for_proof(request, "signin/passkey_remove.html", refused, {"passkey": passkey})


def _lacks_recent_proof(request: PageRequest) -> bool:
    """Return whether the user has a factor and has not shown it a short time ago."""
    if cast("User", request.user).second_factor not in OWN_FACTORS:
        return False
    return not 0 <= time.time() - request.session.get(_PROVED_KEY, 0) < PROOF_SECONDS


def _validate_name(name: str) -> str:
    """Return the name of a passkey. Raises 400."""
    field = PlainCharField(max_length=MAX_NAME_LENGTH)
    try:
        return str(field.run_validation(name))
    except ValidationError as error:
        raise InvalidFieldsError({"name": error.detail}) from error


def _ask_for_proof(
    request: PageRequest, template: str, refused: DomainError | None, shown: Mapping[str, Any] | None = None
) -> HttpResponse:
    user = cast("User", request.user)
    if user.second_factor not in OWN_FACTORS:
        return redirect("second-factor-page")
    if refused is not None:
        mark_refused(request)
    context: dict[str, Any] = {
        "scope": find_scope(request),
        "tab": "second-factor",
        "has_app": user.second_factor == User.SecondFactor.TOTP,
        "check_options": offer_check(request, user),
        **(shown or {}),
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
