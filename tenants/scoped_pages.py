"""The scope of web pages: that of the API, with the selected tenant kept in the session."""

from __future__ import annotations

from typing import cast

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

from api.domain_errors import DomainError
from api.time_zones import activate_time_zone

from .models import User
from .scoped_views import build_scope
from .scoping import Scope

SESSION_KEY = "tenant"


class PageRequest(HttpRequest):
    """A request for a page: `htmx` is true when the page's script requests a fragment of it."""

    htmx: HtmxDetails


class SecondFactorMissingError(PermissionDenied):
    """The tenant demands a second factor, and the user has none. The room `signin` sends the user to the page that sets one up."""


def page_scope(request: HttpRequest) -> Scope:
    """Return the scope of a page: the tenant that the user selected last, else their first one; staff see all.

    A selection that is no longer valid (the tenant is gone, the membership ended) is ignored.
    Raises PermissionDenied for a user without a tenant.
    """
    user = cast("User", request.user)
    slugs = [membership.tenant.slug for membership in user.own_memberships]
    for slug in (request.session.get(SESSION_KEY, ""), "" if user.is_staff else next(iter(slugs), "")):
        try:
            scope = build_scope(user, slug, user.own_memberships)
        except DomainError as error:
            refusal = error
        else:
            activate_time_zone(user, scope.tenant)
            request.tenant_scope = scope  # type: ignore[attr-defined] # As in `ScopedView.initial`.
            return scope
    if refusal.code == "second_factor_required":
        raise SecondFactorMissingError(refusal.detail)
    raise PermissionDenied(refusal.detail)


def find_scope(request: HttpRequest) -> Scope | None:
    """Return the scope of a page that a user without a tenant may open, too; None for such a user."""
    try:
        return page_scope(request)
    except PermissionDenied:
        activate_time_zone(request.user, None)
        return None
