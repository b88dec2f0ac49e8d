"""The separation of tenants: the rows that a request may see, and the role of its user.

Every queryset of a view comes from `Model.objects.within(scope)`, where the model's manager is a `TenantScopedQuerySet`.
A row outside of the scope does not exist for the caller: the id of another tenant's row and an id that never existed give
the same 404.

Tables are reached by relation names (`memberships`), because the models of every room import this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self
from uuid import UUID

from django.db import models
from django.utils.translation import gettext_lazy as _

from api.domain_errors import DomainError, ForbiddenError, InvalidError, NotFoundError
from api.replica.routing import require_primary
from api.requirements import record_requirement
from api.second_factor import SECOND_FACTOR_REQUIRED

if TYPE_CHECKING:
    from .models import Tenant, User  # Types only: the models import this module.


class Role(models.TextChoices):
    """The role of a member in a tenant. All include the first, and the last includes all; the two between do not include each other."""

    VIEWER = "viewer", _("viewer")  # reads
    AUDITOR = "auditor", _("auditor")  # also reads the audit log, and changes nothing
    OPERATOR = "operator", _("operator")  # also controls VMs and deploys
    ADMIN = "admin", _("administrator")  # also creates, deletes, and manages members and accounts

    def covers(self, needed: Role) -> bool:
        """Return whether this role includes another one."""
        return needed in {self, Role.VIEWER} or self == Role.ADMIN


@dataclass(frozen=True, slots=True)
class Scope:
    """The caller and the tenant of a request.

    `tenant` is None only for staff who named none.
    `role` is a member's role in the tenant. Staff act in tenants by their Django permissions: for them `role` is the
    maximum, and `granted_role` needs no such permission: it is their role as members of the tenant, or that of the Django
    admin, which has checked the permissions itself.
    """

    user: User
    tenant: Tenant | None
    role: Role
    granted_role: Role | None = None

    def allows(self, needed: Role, model: type[models.Model] | None = None) -> bool:
        """Return whether the caller may do to rows of `model` what requires a role.

        Staff need the model's permission: "view" for the roles of a viewer and an auditor, "change" for the others. Without a model the
        permission of tenants is required, so that a call that names no model grants nothing by accident.
        """
        if not self.user.is_staff:
            return self.role.covers(needed)
        if self.granted_role is not None and self.granted_role.covers(needed):
            return True
        return self.role.covers(needed) and has_staff_permission(self.user, _permission(needed, model))

    def require(self, needed: Role, model: type[models.Model] | None = None) -> None:
        """Refuse unless `allows`: with 403 `role_too_low`, or 403 `permission_missing` for staff.

        The requirement is recorded for the replay of an answer, see `api/requirements.py`.
        """
        record_requirement(
            (str(self.tenant.pk) if self.tenant else "", needed.value, _permission(needed, model))
        )
        if self.allows(needed, model):
            return
        if self.user.is_staff and self.role.covers(needed):
            raise _permission_missing(_permission(needed, model))
        raise ForbiddenError(
            "role_too_low",
            _("You need the role '%(needed)s' in this tenant. Yours is '%(role)s'.")
            % {"needed": needed.label, "role": self.role.label},
        )


def limit_role(user: User, role: Role) -> Role:
    """Return what a user's role and the token of the request have in common: the token of a service account may have a lower role."""
    token = getattr(user, "limiting_token", None)
    limit = role if token is None else Role(token.role)
    if limit.covers(role):
        return role
    return limit if role.covers(limit) else Role.VIEWER


def require_second_factor(user: User, tenant: Tenant) -> None:
    """Refuse members without a second factor, where their tenant demands one, with 403 `second_factor_required`.

    Staff who are no members come under the setting SECOND_FACTOR_FOR_STAFF.
    """
    is_program = getattr(user, "limiting_token", None) is not None
    if tenant.second_factor_required and not user.second_factor and not user.is_staff and not is_program:
        raise ForbiddenError("second_factor_required", SECOND_FACTOR_REQUIRED)


def _permission(needed: Role, model: type[models.Model] | None) -> str:
    """Return the Django permission that staff need in place of a role: "vms.change_virtualmachine"."""
    action = "view" if needed in {Role.VIEWER, Role.AUDITOR} else "change"
    if model is None:
        return f"tenants.{action}_tenant"
    return f"{model._meta.app_label}.{action}_{model._meta.model_name}"  # noqa: SLF001 - Django's documented API.


def has_staff_permission(user: Any, permission: str) -> bool:
    """Return whether the user is staff and has a Django permission. Every decision about staff access is made here.

    As in the admin, superusers have all of them, and "change" includes "view".
    """
    if not (user.is_active and user.is_staff) or getattr(user, "limiting_token", None) is not None:
        return False
    label, _dot, name = permission.partition(".")
    includes = f"{label}.change_{name.removeprefix('view_')}" if name.startswith("view_") else permission
    return bool(user.has_perm(permission) or user.has_perm(includes))


def require_staff_permission(user: Any, permission: str) -> None:
    """Refuse users who are not staff with 403 `staff_only`, and staff without the permission with `permission_missing`."""
    record_requirement((permission,))
    if not user.is_staff:
        raise ForbiddenError("staff_only", _("Platform administrators only."))
    if not has_staff_permission(user, permission):
        raise _permission_missing(permission)


def _permission_missing(permission: str) -> DomainError:
    return ForbiddenError(
        "permission_missing",
        _("You need the permission '%(permission)s'. Ask a platform administrator for it.")
        % {"permission": permission},
        permission=permission,
    )


class TenantScopedQuerySet(models.QuerySet[Any]):
    """A queryset that knows how its rows belong to a tenant.

    `tenant_path` is the lookup from the model to its tenant ("" for the tenant itself).
    """

    tenant_path: ClassVar[str] = "tenant"

    def _path(self, *names: str) -> str:
        return "__".join(name for name in (self.tenant_path, *names) if name)

    def for_tenant(self, tenant: Tenant) -> Self:
        """Return the rows of one tenant."""
        return self.filter(**{self._path() or "pk": tenant.pk})

    def of_member(self, user: User) -> Self:
        """Return the rows of the tenants that the user is a member of, even if they may see more as staff."""
        # It joins memberships, and one that has ended must not count any more.
        require_primary()
        return self.filter(**{self._path("memberships", "user"): user, self._path("active"): True})

    def visible_to(self, user: User) -> Self:
        """Return the rows of every tenant that the user belongs to; all rows for staff who may view the model."""
        return self.all() if self.is_open_to(user) else self.of_member(user)

    def is_open_to(self, user: User) -> bool:
        """Return whether the user is staff who may view all rows of the model."""
        return has_staff_permission(user, _permission(Role.VIEWER, self.model))

    def within(self, scope: Scope) -> Self:
        """Return the rows that a request of this scope may see."""
        if scope.tenant is None:
            return self.visible_to(scope.user)
        if scope.user.is_staff and scope.granted_role is None and not self.is_open_to(scope.user):
            return self.none()
        return self.for_tenant(scope.tenant)


def require_tenant(scope: Scope) -> Tenant:
    """Return the tenant of the scope. Raises 400 `tenant_required` for staff who named none."""
    if scope.tenant is None:
        raise InvalidError("tenant_required", _("Name the tenant that it is for in the X-Tenant header."))
    return scope.tenant


def lock_row(rows: TenantScopedQuerySet, scope: Scope, pk: UUID, needed: Role) -> Any:
    """Lock a row of the scope in the caller's transaction, and require a role. Raises `NotFoundError`, then 403."""
    return get_visible_row(rows.select_for_update(of=("self",)), scope, pk, needed)


def get_visible_row(rows: TenantScopedQuerySet, scope: Scope, pk: UUID, needed: Role = Role.VIEWER) -> Any:
    """Return a row of the scope, and require a role. Raises `NotFoundError`, then 403."""
    row = rows.within(scope).filter(pk=pk).first()
    if row is None:
        raise NotFoundError
    scope.require(needed, rows.model)
    return row
