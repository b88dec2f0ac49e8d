"""The second step of a sign-in: the second factor."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from api.domain_errors import UnauthenticatedError
from api.form_keys import mark_refused
from tenants.models import User

from ..passkey_challenges import offer_check, read_proof
from ..services.second_factors import check_proof
from ..sessions import find_pending, forget_pending
from .sign_in import open_and_redirect


@never_cache
@sensitive_post_parameters("code")
@require_http_methods(["GET", "POST"])
def sign_in_code_page(request: HttpRequest) -> HttpResponse:
    """Ask for the code or a passkey; on POST with the right one, open the session."""
    pending = find_pending(request)
    if pending is None:
        messages.warning(request, _("The sign-in took too long. Start again."))
        return redirect("login")
    user, address, session = pending
    refusal = ""
    if request.method == "POST":
        try:
            factor = check_proof(user, read_proof(request, user))
        except UnauthenticatedError as error:
            mark_refused(request)
            refusal = _("Enter the code.") if error.code == "code_required" else str(error.detail)
        else:
            forget_pending(request)
            return open_and_redirect(request, user, address, **session | {"factor": factor})
    context = {
        "username": user.get_username(),
        "refusal": refusal,
        "has_app": user.second_factor == User.SecondFactor.TOTP,
        "check_options": offer_check(request, user),
    }
    return render(request, "signin/code.html", context, status=400 if refusal else 200)
