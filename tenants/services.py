"""Change tenants, their members and their information systems."""

from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import UUID

from django.db import IntegrityError, router, transaction
from django.db.models import F, Model, ProtectedError, QuerySet
from django.db.models.deletion import Collector
from django.utils.translation import gettext_lazy as _

from api.database_errors import violated_constraint
from api.domain_errors import ConflictError, DomainError, InvalidFieldsError, NotFoundError
from api.preconditions import check_if_match

from .models import InformationSystem, Membership, Tenant, User
from .row_limits import require_row_limit
from .scoping import Role, Scope, require_second_factor, require_tenant


def get_tenant(
    user: User, tenant_id: UUID, needed: Role = Role.VIEWER, model: type[Model] = Tenant
) -> Tenant:
    """Return a tenant that is visible to the user, and require a role for its `model` rows.

    Raises `NotFoundError`, or 403 when the user's role there is too low or staff lack the permission.

    Requests to `tenants/` have no X-Tenant header, so the role is that in the tenant of the path.
    """
    tenant: Tenant | None = Tenant.objects.visible_to(user).filter(pk=tenant_id).first()
    if tenant is None:
        raise NotFoundError
    member = Membership.objects.filter(user=user, tenant=tenant).first()
    granted = Role(member.role) if member else None
    if not user.is_staff and granted is None:
        raise NotFoundError  # The membership ended between the two queries.
    role = Role.ADMIN if user.is_staff else granted or Role.VIEWER
    require_second_factor(user, tenant)
    Scope(user, tenant, role, granted).require(needed, model)
    return tenant


def change_tenant(*, tenant: Tenant, fields: dict[str, Any]) -> Tenant:
    """Change the columns of a tenant that its administrators may change: the time zone, and whether it demands a second factor."""
    if fields:
        for name, value in fields.items():
            setattr(tenant, name, value)
        tenant.save(update_fields=[*fields, "updated_at"])
    return tenant


def add_member(*, tenant: Tenant, username: str, role: str) -> Membership:
    """Add a user to a tenant. Raises 400 for an unknown user, 409 `already_member`."""
    user = User.objects.filter(username=username, is_active=True).first()
    if user is None:
        raise InvalidFieldsError({"username": [_("User not found.")]})
    try:
        with transaction.atomic():
            return Membership.objects.create(tenant=tenant, user=user, role=role)
    except IntegrityError as error:
        if violated_constraint(error) != "membership_once_per_tenant":
            raise
        raise ConflictError(
            "already_member", _("This user is already a member. Change the role instead.")
        ) from None


def change_member(*, tenant: Tenant, membership_id: UUID, role: str) -> Membership:
    """Change the role of a member. Raises `NotFoundError`, 409 `last_administrator`.

    A membership that came by a rule is one that a person gave from then on: rules leave it as it is.
    """
    with transaction.atomic():
        membership = _lock_member(tenant, membership_id)
        if role != Role.ADMIN:
            require_other_administrator(tenant, membership)
        membership.role, membership.rule_provider = role, ""
        membership.save(update_fields=["role", "rule_provider"])
        return membership


def remove_member(*, tenant: Tenant, membership_id: UUID) -> None:
    """Remove a member from a tenant. Raises `NotFoundError`, 409 `last_administrator`."""
    with transaction.atomic():
        membership = _lock_member(tenant, membership_id)
        require_other_administrator(tenant, membership)
        membership.delete()


def _lock_member(tenant: Tenant, membership_id: UUID) -> Membership:
    # The lock on the tenant's row serializes changes of its members: two administrators can't remove each other.
    Tenant.objects.select_for_update().get(pk=tenant.pk)
    members = Membership.objects.select_related("user")
    membership: Membership | None = members.filter(tenant=tenant, pk=membership_id).first()
    if membership is None:
        raise NotFoundError
    return membership


def list_administrators(tenant: Tenant) -> QuerySet[Membership]:
    """Return the memberships of the people who administer a tenant. A service account is none of them."""
    members: QuerySet[Membership] = Membership.objects.filter(
        tenant=tenant, role=Role.ADMIN, user__is_active=True, user__service_account=None
    )
    return members


def require_other_administrator(tenant: Tenant, leaving: Membership) -> None:
    """Refuse with 409 `last_administrator` when no other administrator would be left. Call it under a lock on the tenant's row."""
    others = list_administrators(tenant).exclude(pk=leaving.pk)
    if leaving.role == Role.ADMIN and not others.exists():
        raise ConflictError(
            "last_administrator", _("A tenant needs at least one administrator. Appoint another one first.")
        )


def create_information_system(*, scope: Scope, fields: dict[str, Any]) -> InformationSystem:
    """Create an information system in the scope's tenant. Raises 403, 400 `tenant_required`, 409 `name_taken`, `limit_reached`."""
    scope.require(Role.ADMIN, InformationSystem)
    tenant = require_tenant(scope)
    try:
        with transaction.atomic():
            systems = InformationSystem.objects.filter(tenant=tenant)
            require_row_limit(tenant, "information_systems", systems)
            return InformationSystem.objects.create(tenant=tenant, **fields)
    except IntegrityError as error:
        if violated_constraint(error) != "information_system_name_once_per_tenant":
            raise
        raise _name_taken(fields["name"]) from None


def change_information_system(
    *, scope: Scope, system_id: UUID, fields: dict[str, Any], if_match: str | None
) -> InformationSystem:
    """Change an information system. Raises `NotFoundError`, 403, 412 when `if_match` is of an older version, 409."""
    try:
        with transaction.atomic():
            system = _lock_system(scope, system_id, if_match)
            for name, value in fields.items():
                setattr(system, name, value)
            system.version = F("version") + 1
            system.save()
            system.refresh_from_db()
            return system
    except IntegrityError as error:
        if violated_constraint(error) != "information_system_name_once_per_tenant":
            raise
        raise _name_taken(fields["name"]) from None


def remove_information_system(*, scope: Scope, system_id: UUID, if_match: str | None) -> None:
    """Delete an information system that owns nothing. Raises `NotFoundError`, 403, 412, 409 `in_use`."""
    with transaction.atomic():
        system = _lock_system(scope, system_id, if_match)
        try:
            system.delete()
        except ProtectedError as error:
            raise ConflictError(
                "in_use",
                _("%(count)s resources still belong to the information system. Delete them first.")
                % {"count": len(error.protected_objects)},
            ) from None


def list_owned_resources(system: InformationSystem) -> list[tuple[str, int]]:
    """Return what keeps an information system from being deleted: the name of each kind of resource, and the count."""
    try:
        Collector(using=router.db_for_write(InformationSystem), origin=system).collect([system])
    except ProtectedError as error:
        counts = Counter(type(owned)._meta.verbose_name_plural for owned in error.protected_objects)  # noqa: SLF001
        return sorted((str(kind), count) for kind, count in counts.items())
    return []


def _lock_system(scope: Scope, system_id: UUID, if_match: str | None) -> InformationSystem:
    visible = InformationSystem.objects.within(scope).select_for_update(of=("self",)).select_related("tenant")
    system: InformationSystem | None = visible.filter(pk=system_id).first()
    if system is None:
        raise NotFoundError
    scope.require(Role.ADMIN, InformationSystem)
    check_if_match(if_match, system.version)
    return system


def _name_taken(name: str) -> DomainError:
    return ConflictError(
        "name_taken",
        _("The tenant already has an information system named '%(name)s'.") % {"name": name},
        errors={"name": [_("This name is already in use.")]},
    )


def hide_columns(*, user_id: Any, table: str, hidden: list[str]) -> None:
    """Store the columns of a table that a user has hidden. The caller has checked the names, so their number is bounded.

    The row is locked, because a choice for another table may be stored at the same time.
    """
    with transaction.atomic():
        user = User.objects.select_for_update(no_key=True).only("hidden_columns").get(pk=user_id)
        choice = dict(user.hidden_columns) if isinstance(user.hidden_columns, dict) else {}
        if hidden:
            choice[table] = hidden
        else:
            choice.pop(table, None)
        User.objects.filter(pk=user_id).update(hidden_columns=choice)
