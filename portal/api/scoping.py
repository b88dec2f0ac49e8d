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
from uuid import UUID

from django.db import models
from django.http import Http404
from django.utils.translation import gettext_lazy as _

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
        return _RANKS[self] >= _RANKS[needed]


_RANKS = {role: rank for rank, role in enumerate(Role)}


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
                % {"needed": needed.label, "role": self.role.label},
            )


def require_staff(user: Any) -> None:
    """Refuse with 403 `staff_only` who is not of the portal's staff."""
    if not user.is_staff:
        raise Refused(403, "staff_only", _("Only the portal's staff may do this."))


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


def locked_row(rows: TenantScoped, scope: Scope, pk: UUID, needed: Role) -> Any:
    """A row of the scope that a use case is about, locked in the caller's transaction. Raises Http404, then 403 `role_too_low`."""
    return visible_row(rows.select_for_update(of=("self",)), scope, pk, needed)


def visible_row(rows: TenantScoped, scope: Scope, pk: UUID, needed: Role = Role.VIEWER) -> Any:
    """A row of the scope that the caller may do something to. Raises Http404, then 403 `role_too_low`."""
    row = rows.within(scope).filter(pk=pk).first()
    if row is None:
        raise Http404
    scope.require(needed)
    return row
