"""The wall between tenants: which rows a request may see, and in which role.

Every queryset that a view uses comes from `Model.objects.within(scope)`, where the model's manager is made of
`TenantScoped`.
What is outside the scope does not exist for the caller: another tenant's id and an id that never existed give
the same 404.

Tables are reached by relation names (`memberships`), because every room's models are made of what is here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self
from uuid import UUID

from django.db import models
from django.utils.translation import gettext_lazy as _

from api.domain_errors import DomainError, ForbiddenError, NotFoundError
from api.requirements import note_requirement

if TYPE_CHECKING:
    from .models import Tenant, User  # Types only: the models are made of what is here.


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

    `tenant` is None only for staff who named none.
    `role` is a member's role in the tenant. Staff act in tenants by their Django permissions: for them `role` is a
    ceiling, and `granted_role` is what needs no such permission: the role that they have as members of the tenant, or
    that of the admin, which has checked the permissions itself.
    """

    user: User
    tenant: Tenant | None
    role: Role
    granted_role: Role | None = None

    def allows(self, needed: Role, model: type[models.Model] | None = None) -> bool:
        """Whether the caller may do to rows of `model` what takes the role `needed`.

        Staff need the model's permission: "view" for what a viewer may, "change" for everything else. Without a model
        it is that of tenants, so that a call that names none opens nothing by accident.
        """
        if not self.user.is_staff:
            return self.role.covers(needed)
        if self.granted_role is not None and self.granted_role.covers(needed):
            return True
        return self.role.covers(needed) and has_staff_permission(self.user, _permission(needed, model))

    def require(self, needed: Role, model: type[models.Model] | None = None) -> None:
        """Refuse unless `allows`: with 403 `role_too_low`, or 403 `permission_missing` for staff.

        What is required is noted for the replay of an answer, see `api/requirements.py`.
        """
        note_requirement(
            (str(self.tenant.pk) if self.tenant else "", needed.value, _permission(needed, model))
        )
        if self.allows(needed, model):
            return
        if self.user.is_staff and self.role.covers(needed):
            raise _permission_missing(_permission(needed, model))
        raise ForbiddenError(
            "role_too_low",
            _("This needs the role '%(needed)s' in the tenant; yours is '%(role)s'.")
            % {"needed": needed.label, "role": self.role.label},
        )


def _permission(needed: Role, model: type[models.Model] | None) -> str:
    """The Django permission that staff need for what takes a role: "vms.change_virtualmachine"."""
    action = "view" if needed == Role.VIEWER else "change"
    if model is None:
        return f"tenants.{action}_tenant"
    return f"{model._meta.app_label}.{action}_{model._meta.model_name}"  # noqa: SLF001 - Django's documented API.


def has_staff_permission(user: Any, permission: str) -> bool:
    """Whether the user is of the staff and has the Django permission: the one place that decides what staff may.

    As in the admin, superusers have all of them, and "change" includes "view".
    """
    if not (user.is_active and user.is_staff):
        return False
    label, _dot, name = permission.partition(".")
    includes = f"{label}.change_{name.removeprefix('view_')}" if name.startswith("view_") else permission
    return bool(user.has_perm(permission) or user.has_perm(includes))


def require_staff_permission(user: Any, permission: str) -> None:
    """Refuse with 403 `staff_only` who is not of the staff, and with 403 `permission_missing` staff without it."""
    note_requirement((permission,))
    if not user.is_staff:
        raise ForbiddenError("staff_only", _("Only the portal's staff may do this."))
    if not has_staff_permission(user, permission):
        raise _permission_missing(permission)


def _permission_missing(permission: str) -> DomainError:
    return ForbiddenError(
        "permission_missing",
        _("This needs the permission '%(permission)s'; ask an administrator of the portal for it.")
        % {"permission": permission},
        permission=permission,
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

    def of_member(self, user: User) -> Self:
        """The rows of the tenants that the user is a member of, whatever else he may see."""
        return self.filter(**{self._path("memberships", "user"): user, self._path("active"): True})

    def visible_to(self, user: User) -> Self:
        """The rows of every tenant that the user belongs to; all rows for staff who may view the model."""
        return self.all() if self.is_open_to(user) else self.of_member(user)

    def is_open_to(self, user: User) -> bool:
        """Whether the user is of the staff and may view all rows of the model."""
        return has_staff_permission(user, _permission(Role.VIEWER, self.model))

    def within(self, scope: Scope) -> Self:
        """The rows that a request of this scope may see."""
        if scope.tenant is None:
            return self.visible_to(scope.user)
        if scope.user.is_staff and scope.granted_role is None and not self.is_open_to(scope.user):
            return self.none()
        return self.for_tenant(scope.tenant)


def locked_row(rows: TenantScoped, scope: Scope, pk: UUID, needed: Role) -> Any:
    """A row of the scope that a use case is about, locked in the caller's transaction. Raises `NotFoundError`, then 403."""
    return visible_row(rows.select_for_update(of=("self",)), scope, pk, needed)


def visible_row(rows: TenantScoped, scope: Scope, pk: UUID, needed: Role = Role.VIEWER) -> Any:
    """A row of the scope that the caller may do something to. Raises `NotFoundError`, then 403."""
    row = rows.within(scope).filter(pk=pk).first()
    if row is None:
        raise NotFoundError
    scope.require(needed, rows.model)
    return row
