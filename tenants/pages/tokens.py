"""The user's own API tokens. A token is shown once, in the answer to the form that creates it."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from api.auth_serializers import NewTokenSerializer
from api.auth_views import create_token, revoke_token
from api.domain_errors import DomainError
from api.errors import status_of
from api.form_errors import validate_form
from api.form_keys import new_form_key
from api.idempotency import claim_key
from api.models import ApiToken
from pages.dialogs import render_dialog
from pages.lists import read_list_query
from pages.panels import render_page
from pages.tables import declare_table

from ..models import User
from ..page_forms import Outcome, run_form, split_errors
from ..scoped_pages import PageRequest, find_scope

ORDERINGS = frozenset({"name", "created", "expiry"})
declare_table(
    "tokens",
    [
        ("status", gettext_lazy("Status")),
        ("created", gettext_lazy("Created")),
        ("last_used", gettext_lazy("Last used")),
        ("expiry", gettext_lazy("Expires")),
    ],
)
KEY_LENGTH = 32


@login_required
@never_cache
@require_GET
def token_page(request: PageRequest) -> HttpResponse:
    """List the user's tokens, newest first, without the tokens themselves."""
    user = cast("User", request.user)
    query = read_list_query(request, orderings=ORDERINGS, ordering="-created")
    tokens = ApiToken.objects.filter(user_id=user.pk, name__icontains=query.search)
    page = query.paginate(tokens.order_by(query.ordering, "pk"))
    now = timezone.now()
    context = {
        "scope": find_scope(request),
        "tab": "tokens",
        "page": page,
        "query": query,
        "ordering": query.ordering,
        # As `ApiToken.is_usable`, without reading the user of each token.
        "rows": [
            {
                "token": token,
                "status": "ended"
                if token.credentials_epoch != user.credentials_epoch
                else "expired"
                if token.expiry and token.expiry <= now
                else "active",
            }
            for token in page.object_list
        ],
    }
    return render_page(request, "tenants/tokens.html", context, panels={"tokens": "tenants/token_table.html"})


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def new_token_page(request: PageRequest) -> HttpResponse:
    """Show the form; on POST, create a token and show it, this once."""
    refused: DomainError | None = None
    if request.method == "POST":
        try:
            fields = validate_form(NewTokenSerializer(data={"name": request.POST.get("name", "")}))
        except DomainError as error:
            refused = error
        else:
            return _create(request, fields["name"])
    context = {
        "scope": find_scope(request),
        "title": _("Create API token"),
        "entered": {"name": request.POST.get("name", "")},
        "days": settings.API_TOKEN_DAYS,
        "token_key": new_form_key(),
        **split_errors(refused, ("name",)),
    }
    return render_dialog(
        request, "tenants/token_form.html", context, status=status_of(refused) if refused else 200
    )


def _create(request: PageRequest, name: str) -> HttpResponse:
    """Create a token once for each rendered form, and show it.

    The form has a key of its own kind: the answer is no redirect, because the token is stored nowhere.
    """
    key = request.POST.get("token_key", "")[:KEY_LENGTH].replace("\x00", "")
    with transaction.atomic():
        if key and claim_key(request.user, f"token:{key}", "") is None:
            messages.warning(
                request,
                _(
                    "The token was already created and shown once. Revoke it and create another one if it was lost."
                ),
            )
            return redirect("token-page")
        token = create_token(request.user, name)
    close = reverse("token-page")
    context = {"scope": find_scope(request), "title": _("API token created"), "token": token, "close": close}
    return render_dialog(request, "tenants/token_created.html", context)


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def revoke_token_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Ask whether a token is to be revoked; on POST, revoke it."""
    token = get_object_or_404(ApiToken, user_id=request.user.pk, id=pk)

    def revoke() -> Outcome:
        if not revoke_token(request.user, pk):
            raise Http404
        return _("Token %(name)s was revoked.") % {"name": token.name}, ""

    context = {"scope": find_scope(request), "title": _("Revoke token"), "token": token}
    return run_form(request, "tenants/token_revoke.html", context, revoke, list_page="token-page")
