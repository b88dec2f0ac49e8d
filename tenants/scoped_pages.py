"""The scope of the web pages: as that of the API, with the tenant remembered in the session."""

from __future__ import annotations

from typing import cast

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

from api.domain_errors import DomainError
from api.time_zones import activate_time_zone

from .models import User
from .scoped_views import scope_for
from .scoping import Scope

SESSION_KEY = "tenant"


class PageRequest(HttpRequest):
    """A request as it comes to a page: `htmx` is true when the page's own script asks for a part of it."""

    htmx: HtmxDetails


def page_scope(request: HttpRequest) -> Scope:
    """The scope of a signed-in user's page: the tenant that he chose last, else his first one; staff see all.

    A choice that is no longer to be had (the tenant is gone, the membership ended) is forgotten.
    Raises PermissionDenied for who belongs to no tenant.
    """
    user = cast("User", request.user)
    mine = [membership.tenant.slug for membership in user.active_memberships()]
    for slug in (request.session.get(SESSION_KEY, ""), "" if user.is_staff else next(iter(mine), "")):
        try:
            scope = scope_for(user, slug)
        except DomainError as error:
            refusal = error
        else:
            activate_time_zone(user, scope.tenant)
            return scope
    raise PermissionDenied(refusal.detail)
