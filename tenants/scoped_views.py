"""Views of rows that belong to tenants: the scope of a request, and querysets that are limited to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from django.db import models
from django.utils.translation import gettext_lazy as _
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from api.domain_errors import ForbiddenError, InvalidError, NotFoundError
from api.pagination import LogPagination
from api.replica.reads import read_list

from .models import Membership, Tenant, User
from .scoping import Role, Scope, TenantScopedQuerySet, limit_role, require_second_factor


def get_user(request: Request) -> User:
    """Return the user of a request that has passed the permission classes."""
    user: User = request.user  # type: ignore[assignment] # IsAuthenticated has refused anonymous users.
    return user


def get_request_scope(request: Request) -> Scope:
    """Return the scope of an authenticated request, from its user and its `X-Tenant` header."""
    return build_scope(get_user(request), request.headers.get("X-Tenant", "").strip())


def build_scope(user: User, slug: str, memberships: Sequence[Membership] | None = None) -> Scope:
    """Build the scope of a user for a tenant's slug, or for none ("").

    A user with one tenant needs no slug; a user with several gets 400 `tenant_required`.
    A slug that does not exist and that of a tenant that the user does not belong to give the same 404.
    Staff may name any tenant; their access to its rows takes the permissions of each model (`Scope.allows`).
    The token of a service account limits it to one tenant, and the role.
    Costs one query, two for staff who name a tenant; `memberships` are the user's active ones, if they have been read.
    """
    token = getattr(user, "limiting_token", None)
    if user.is_staff and token is None:
        if not slug:
            return Scope(user, None, Role.ADMIN)
        tenant = Tenant.objects.filter(slug=slug).first() if "\x00" not in slug else None
        if tenant is None:
            raise _tenant_not_found(slug)
        member = user.active_memberships().filter(tenant=tenant).first()
        return Scope(user, tenant, Role.ADMIN, Role(member.role) if member else None)
    if memberships is None:
        memberships = list(user.active_memberships())
    if token is not None:
        memberships = [membership for membership in memberships if membership.tenant_id == token.tenant_id]
    if slug:
        memberships = [membership for membership in memberships if membership.tenant.slug == slug]
        if not memberships:
            raise _tenant_not_found(slug)
    if not memberships:
        raise ForbiddenError(
            "no_tenant",
            _(
                "You don't belong to a tenant yet. Accept an invitation, or ask a tenant's administrator to invite you."
            ),
        )
    if len(memberships) > 1:
        raise InvalidError(
            "tenant_required",
            _("You belong to several tenants (%(slugs)s). Name one in the X-Tenant header.")
            % {"slugs": ", ".join(membership.tenant.slug for membership in memberships)},
        )
    require_second_factor(user, memberships[0].tenant)
    return Scope(user, memberships[0].tenant, limit_role(user, Role(memberships[0].role)))


def _tenant_not_found(slug: str) -> NotFoundError:
    return NotFoundError(
        "no_such_tenant",
        _("Tenant not found: '%(slug)s'. You may not be a member of it.") % {"slug": slug[:100]},
    )


class ScopedView(GenericAPIView[Any]):
    """A view of rows that belong to tenants: its queryset is limited to the request's scope.

    A subclass names `queryset` of a model whose manager is made of `TenantScopedQuerySet`.
    """

    scope: Scope
    tenant_scoped = True

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Set the scope once the caller is authenticated, before anything is looked up."""
        super().initial(request, *args, **kwargs)
        self.scope = get_request_scope(request)
        # For what is recorded about the request, such as that it was refused.
        request._request.tenant_scope = self.scope  # type: ignore[attr-defined] # noqa: SLF001 - Django's own request.

    def get_queryset(self) -> models.QuerySet[Any]:
        """Return the rows of the scope; none while the schema is being generated."""
        queryset = cast("TenantScopedQuerySet", super().get_queryset())
        if getattr(self, "swagger_fake_view", False):
            return queryset.none()
        return queryset.within(self.scope)

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return a page of the list; with a replica, from there. A log that is followed by its cursor is read from the primary."""

        def read() -> Response:
            answer: Response = super(ScopedView, self).list(request, *args, **kwargs)  # type: ignore[misc] # of ListModelMixin.
            return answer

        if isinstance(self.paginator, LogPagination):
            return read()
        return read_list(request, read)
