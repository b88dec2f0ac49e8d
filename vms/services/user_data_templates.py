"""Templates of user data, kept encrypted for a tenant's administrators."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils.translation import gettext_lazy as _

from api.database_errors import violated_constraint
from api.domain_errors import InvalidFieldsError
from api.preconditions import check_if_match
from security.encryption import UnreadableSecretError
from tenants.row_limits import require_row_limit
from tenants.scoping import Role, Scope, get_visible_row, lock_row, require_tenant

from ..models import UserDataTemplate
from ..user_data import UserDataError, check_user_data


def add_template(*, scope: Scope, name: str, text: str) -> UserDataTemplate:
    """Add a template. Raises 403 `role_too_low`; 400 by field, `tenant_required`; 409 `limit_reached`."""
    scope.require(Role.ADMIN, UserDataTemplate)
    tenant = require_tenant(scope)
    _check_text(text)
    template = UserDataTemplate(tenant=tenant, name=name, updated_by=scope.user)
    template.set_text(text)
    with transaction.atomic():
        templates = UserDataTemplate.objects.filter(tenant=tenant)
        require_row_limit(tenant, "user_data_templates", templates)
        _save_template(template)
    return template


def change_template(
    *, scope: Scope, template_id: UUID, fields: dict[str, Any], if_match: str | None = None
) -> UserDataTemplate:
    """Change name and text of a template. VMs that were created from it keep what they have.

    Raises `NotFoundError`, 403, 412, 400 by field.
    """
    with transaction.atomic():
        template: UserDataTemplate = lock_row(UserDataTemplate.objects.all(), scope, template_id, Role.ADMIN)
        check_if_match(if_match, template.version)
        if "text" in fields:
            _check_text(fields["text"])
            template.set_text(fields["text"])
        template.name = fields.get("name", template.name)
        template.updated_by = scope.user
        template.version = F("version") + 1
        _save_template(template)
        template.refresh_from_db()
        return template


def remove_template(*, scope: Scope, template_id: UUID, if_match: str | None = None) -> UserDataTemplate:
    """Delete a template. Raises `NotFoundError`, 403, 412."""
    with transaction.atomic():
        template: UserDataTemplate = lock_row(UserDataTemplate.objects.all(), scope, template_id, Role.ADMIN)
        check_if_match(if_match, template.version)
        template.delete()
        return template


def read_template(*, scope: Scope, template_id: UUID) -> tuple[UserDataTemplate, str]:
    """Return a template with its text, for administrators. Raises `NotFoundError`, 403."""
    template: UserDataTemplate = get_visible_row(
        UserDataTemplate.objects.select_related("tenant", "updated_by"), scope, template_id, Role.ADMIN
    )
    try:
        return template, template.decrypt_text()
    except UnreadableSecretError:
        return template, ""


def _check_text(text: str) -> None:
    try:
        check_user_data(text)
    except UserDataError as error:
        raise InvalidFieldsError({"text": [str(error)]}) from None


def _save_template(template: UserDataTemplate) -> None:
    try:
        with transaction.atomic():
            template.save()
    except IntegrityError as error:
        if violated_constraint(error) != "user_data_template_name_unique_in_tenant":
            raise
        message = _("The tenant has a template called '%(name)s' already.") % {"name": template.name}
        raise InvalidFieldsError({"name": [message]}) from None
