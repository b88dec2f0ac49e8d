"""The user's own passkeys: add and remove them."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods
from rest_framework.exceptions import ValidationError

from api.domain_errors import ConflictError, DomainError, InvalidFieldsError
from api.errors import status_of
from api.form_keys import mark_refused
from api.serializers import PlainCharField
from tenants.models import User
from tenants.page_forms import split_errors
from tenants.scoped_pages import PageRequest, find_scope

from ..models import Passkey
from ..passkey_challenges import offer_registration, take_answer
from ..services import second_factors
from ..services.second_factors import Proof
from .second_factor import lacks_recent_proof, run_with_proof, show_codes

MAX_NAME_LENGTH = 100


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def new_passkey_page(request: PageRequest) -> HttpResponse:
    """Ask for a name, and let the browser create a passkey; on POST with it, add it."""
    if lacks_recent_proof(request):
        return redirect(f"{reverse('second-factor-prove')}?for=passkey")
    try:
        return _add_passkey(request)
    except ConflictError as error:
        messages.warning(request, str(error.detail))
        return redirect("second-factor-page")


@login_required
@never_cache
@sensitive_post_parameters("code")
@require_http_methods(["GET", "POST"])
def remove_passkey_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Ask for a factor; on POST with the right one, remove the passkey."""
    passkey = get_object_or_404(Passkey, pk=pk, user=cast("User", request.user))

    def remove(user: User, proof: Proof) -> HttpResponse:
        second_factors.remove_passkey(user, pk, proof)
        messages.success(request, _("The passkey %(name)s was removed.") % {"name": passkey.name})
        return redirect("second-factor-page")

    return run_with_proof(request, "signin/passkey_remove.html", remove, {"passkey": passkey})


def _add_passkey(request: PageRequest) -> HttpResponse:
    """Show the form, or carry it out. Raises 409 `too_many`."""
    user = cast("User", request.user)
    name = request.POST.get("name", "").strip()
    refused: DomainError | None = None
    if request.method == "POST":
        answer = take_answer(request, user, "register")
        try:
            codes = second_factors.add_passkey(user, answer, _validate_name(name))
        except InvalidFieldsError as error:
            mark_refused(request)
            refused = error
        else:
            messages.success(request, _("The passkey %(name)s was added.") % {"name": name})
            return show_codes(request, codes) if codes else redirect("second-factor-page")
    options = offer_registration(request, user)
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


def _validate_name(name: str) -> str:
    """Return the name of a passkey. Raises 400."""
    try:
        return str(PlainCharField(max_length=MAX_NAME_LENGTH).run_validation(name))
    except ValidationError as error:
        raise InvalidFieldsError({"name": error.detail}) from error
