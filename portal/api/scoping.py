"""The wall between tenants: which rows a request may see, and in which role.

Every queryset that a view uses comes from `Model.objects.within(scope)`, where the model's manager is made of
`TenantScoped`.
What is outside the scope does not exist for the caller: another tenant's id and an id that never existed give
the same 404.

The rooms' tables are reached by relation names (`memberships`), because this module lies below them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.apps import apps
from django.db import models
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import NotFound
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request

from .errors import Refused

if TYPE_CHECKING:
    from tenants.models import Tenant, User  # Types only: at run time this module imports no room.


class Role(models.TextChoices):
    """What a member may do in a tenant; each role may do all that the ones before it may."""

    VIEWER = "viewer", _("viewer")  # reads
    OPERATOR = "operator", _("operator")  # also controls VMs and deploys
    ADMIN = "admin", _("administrator")  # also creates, removes, and manages members and accounts

    def covers(self, needed: Role) -> bool:
        """Whether this role may do what `needed` may."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True)
class Scope:
    """Who asks, and for which tenant.

    `tenant` is None only for staff who named none: they see all tenants.
    """

    user: User
    tenant: Tenant | None
    role: Role

    def require(self, needed: Role) -> None:
        """Refuse with 403 `role_too_low` unless the caller's role covers `needed`."""
        if not self.role.covers(needed):
            raise Refused(
                403,
                "role_too_low",
                _("This needs the role '%(needed)s' in the tenant; yours is '%(role)s'.")
                % {"needed": needed.value, "role": self.role.value},
            )


class TenantScoped(models.QuerySet[Any]):
    """A queryset that knows how its rows belong to a tenant.

    `tenant_path` is the lookup from the model to its tenant ("" for the tenant itself).
    """

    tenant_path: ClassVar[str] = "tenant"

    def _path(self, *names: str) -> str:
        return "__".join(name for name in (self.tenant_path, *names) if name)

    def for_tenant(self, tenant: Tenant) -> Self:
        """The rows of one tenant."""
        return self.filter(**{self._path() or "pk": tenant.pk})

    def visible_to(self, user: User) -> Self:
        """The rows of every tenant that the user belongs to; all rows for staff."""
        if user.is_staff:
            return self.all()
        return self.filter(**{self._path("memberships", "user"): user, self._path("active"): True})

    def within(self, scope: Scope) -> Self:
        """The rows that a request of this scope may see."""
        return self.for_tenant(scope.tenant) if scope.tenant else self.visible_to(scope.user)


def scope_of(request: Request) -> Scope:
    """The scope of an authenticated request, from its user and its `X-Tenant` header.

    A user with one tenant needs no header; one with several gets 400 `tenant_required` without it.
    A slug that does not exist and one of a tenant that the user does not belong to give the same 404.
    Costs one query.
    """
    user: User = request.user
    slug = request.headers.get("X-Tenant", "").strip()
    if user.is_staff:
        if not slug:
            return Scope(user, None, Role.ADMIN)
        tenant = apps.get_model("tenants", "Tenant").objects.filter(slug=slug).first() if "\x00" not in slug else None
        if tenant is None:
            raise _no_such_tenant(slug)
        return Scope(user, tenant, Role.ADMIN)
    memberships = list(user.memberships.filter(tenant__active=True).select_related("tenant").order_by("tenant__slug"))
    if slug:
        memberships = [membership for membership in memberships if membership.tenant.slug == slug]
        if not memberships:
            raise _no_such_tenant(slug)
    if not memberships:
        raise Refused(403, "no_tenant", _("You belong to no tenant yet; ask an administrator to add you."))
    if len(memberships) > 1:
        raise Refused(
            400,
            "tenant_required",
            _("You belong to several tenants (%(slugs)s); name one in the X-Tenant header.")
            % {"slugs": ", ".join(membership.tenant.slug for membership in memberships)},
        )
    return Scope(user, memberships[0].tenant, Role(memberships[0].role))


def _no_such_tenant(slug: str) -> NotFound:
    return NotFound(_("There is no tenant '%(slug)s' among yours.") % {"slug": slug[:100]}, code="no_such_tenant")


class ScopedView(GenericAPIView[Any]):
    """A view of rows that belong to tenants: its queryset is cut to the request's scope.

    A subclass names `queryset` of a model whose manager is made of `TenantScoped`.
    """

    scope: Scope

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Find the scope once the caller is known, before anything else is looked at."""
        super().initial(request, *args, **kwargs)
        self.scope = scope_of(request)

    def get_queryset(self) -> models.QuerySet[Any]:
        """The rows of the scope; none while the schema is being generated."""
        queryset: TenantScoped = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return queryset.none()
        return queryset.within(self.scope)
