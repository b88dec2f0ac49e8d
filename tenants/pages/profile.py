"""The user's own profile: language, time zone, theme, and the password."""

from __future__ import annotations

from typing import Any, cast

import structlog
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.password_validation import password_validators_help_texts
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from api.auth_serializers import ProfileChangeSerializer
from api.auth_views import change_profile
from api.domain_errors import DomainError
from api.errors import status_of
from api.form_errors import validate_form
from api.form_keys import mark_refused
from api.time_zones import find_time_zone, list_time_zone_names

from ..models import User
from ..page_forms import split_errors
from ..scoped_pages import PageRequest, find_scope
from .choices import set_language_cookie

log = structlog.get_logger(__name__)
FIELDS = ("language", "time_zone", "theme")
MAX_LENGTH = 100


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def preferences_page(request: PageRequest) -> HttpResponse:
    """Show the user's profile; on POST, save the language and the theme of pages, and the time zone of their times."""
    user = cast("User", request.user)
    scope = find_scope(request)
    entered = {name: getattr(user, name) for name in FIELDS}
    refused: DomainError | None = None
    if request.method == "POST":
        sent = {name: request.POST[name] for name in FIELDS if name in request.POST}
        entered |= {name: value[:MAX_LENGTH].replace("\x00", "") for name, value in sent.items()}
        try:
            change_profile(user, validate_form(ProfileChangeSerializer(data=sent)))
        except DomainError as error:
            mark_refused(request)
            refused = error
        else:
            return _confirm(request, user, "language" in sent)
    tenant = scope.tenant if scope else None
    context = {
        "scope": scope,
        "tab": "profile",
        "memberships": user.active_memberships(),
        "entered": entered,
        "languages": settings.LANGUAGES,
        "language_now": translation.get_language_info(translation.get_language())["name_local"],
        "themes": User.Theme.choices,
        "names": sorted(list_time_zone_names()),
        "without_choice": find_time_zone(getattr(tenant, "time_zone", "")).key,
        "now": timezone.now(),
        **split_errors(refused, FIELDS),
    }
    return render(request, "tenants/profile.html", context, status=status_of(refused) if refused else 200)


def _confirm(request: PageRequest, user: User, has_language: bool) -> HttpResponse:
    """Redirect to the profile in the language that was saved, with a message in that language."""
    response = redirect("preferences")
    if has_language and not user.language:
        # The browser's own language decides again.
        response.delete_cookie(
            settings.LANGUAGE_COOKIE_NAME,
            path=settings.LANGUAGE_COOKIE_PATH,
            domain=settings.LANGUAGE_COOKIE_DOMAIN,
        )
        request.COOKIES.pop(settings.LANGUAGE_COOKIE_NAME, None)
        language = translation.get_language_from_request(request)
    elif has_language:
        set_language_cookie(response, user.language)
        language = user.language
    else:
        language = None
    with translation.override(language or translation.get_language()):
        messages.success(request, _("Changes saved."))
    return response


@login_required
@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def password_page(request: PageRequest) -> HttpResponse:
    """Show the form for a new password; on POST, change the password.

    All other sessions end, and all API tokens, because the change of the password increments the epoch of the user's
    credentials. This session gets the new epoch.
    """
    user: Any = request.user
    form = PasswordChangeForm(user, request.POST or None)
    if request.method == "POST" and form.is_valid():
        form.save()
        update_session_auth_hash(request, user)
        log.info("password_changed", username=user.get_username())
        messages.success(request, _("The password was changed. Other sessions were signed out."))
        return redirect("password-page")
    status = 200
    if request.method == "POST":
        mark_refused(request)
        status = 400
    context = {
        "scope": find_scope(request),
        "tab": "password",
        "errors": {name: [str(error) for error in errors] for name, errors in form.errors.items()},
        "hints": password_validators_help_texts(),
    }
    return render(request, "tenants/password.html", context, status=status)
