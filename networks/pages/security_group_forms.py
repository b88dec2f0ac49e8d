"""The forms of security groups: create, edit, copy and delete one, and change its rules."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from api.domain_errors import DomainError, NotFoundError
from api.form_errors import filled_fields, validate_form
from api.page_addresses import require_POST
from tenants.page_forms import Outcome, require_typed_name, run_form
from tenants.row_forms import RowForm, row_form_page
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope, get_visible_row

from ..models import SecurityGroup
from ..rule_templates import TEMPLATES
from ..serializers import (
    ChangeSecurityGroupSerializer,
    CopySecurityGroupSerializer,
    NewRuleSerializer,
    NewSecurityGroupSerializer,
)
from ..services import (
    add_rules,
    change_security_group,
    copy_security_group,
    create_security_group,
    remove_rule,
    remove_security_group,
)
from .places import list_accounts, list_regions
from .security_groups import GROUPS, RULE_FIELDS, TEMPLATE_FIELDS, render_group

NEW_FIELDS = ("name", "description", "account", "region", "template", "cidr", "group")


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def new_security_group_page(request: PageRequest) -> HttpResponse:
    """Create a security group, with the rules of a template or without."""
    scope = page_scope(request)
    scope.require(Role.ADMIN, SecurityGroup)
    accounts = list_accounts(scope)

    def handle() -> Outcome:
        fields = filled_fields(request.POST, *NEW_FIELDS)
        template = TEMPLATES.get(fields.get("template", ""))
        # The form shows the fields of all templates; those of the others do not count.
        for name in ("cidr", "group"):
            if template is None or template.needs != name:
                fields.pop(name, None)
        params = validate_form(NewSecurityGroupSerializer(data=fields))
        change = create_security_group(scope=scope, params=params)
        for warning in change.warnings:
            messages.warning(request, warning)
        message = _("Creating security group %(name)s.") % {"name": change.group.name}
        return message, reverse("security-group-detail-page", args=[change.group.pk])

    context = {
        "scope": scope,
        "title": _("Create security group"),
        "accounts": accounts,
        "regions": list_regions(accounts),
        "templates": TEMPLATES,
        "groups": list(GROUPS.within(scope).usable().order_by("name").values_list("pk", "name")),
    }
    return run_form(
        request,
        "networks/new_group_form.html",
        context,
        handle,
        list_page="security-group-page",
        initial=dict.fromkeys(NEW_FIELDS, ""),
        fields=NEW_FIELDS,
    )


def _detail_address(row: SecurityGroup) -> str:
    return reverse("security-group-detail-page", args=[row.pk])


@row_form_page(
    RowForm(
        "networks/edit_group_form.html",
        GROUPS,
        Role.ADMIN,
        "security-group-page",
        ("name", "description"),
        initial=lambda group: {"name": group.name, "description": group.description},
    )
)
def edit_security_group_page(request: PageRequest, scope: Scope, row: SecurityGroup) -> Outcome:
    """Change the name and description of a group, in the cloud too."""
    data = {name: request.POST.get(name, "") for name in ("name", "description")}
    params = validate_form(ChangeSecurityGroupSerializer(data=data))
    change_security_group(scope=scope, group_id=row.pk, fields=params)
    return _("Changes saved."), _detail_address(row)


@row_form_page(
    RowForm(
        "networks/copy_group_form.html",
        GROUPS,
        Role.ADMIN,
        "security-group-page",
        ("name",),
        initial=lambda group: {"name": f"{group.name}-2"},
    )
)
def copy_security_group_page(request: PageRequest, scope: Scope, row: SecurityGroup) -> Outcome:
    """Create a group with the same rules."""
    params = validate_form(CopySecurityGroupSerializer(data=filled_fields(request.POST, "name")))
    copy = copy_security_group(scope=scope, group_id=row.pk, name=params["name"], description=None).group
    values = {"name": row.name, "copy": copy.name}
    return _("Copying security group %(name)s to %(copy)s.") % values, _detail_address(copy)


@row_form_page(RowForm("networks/remove_group_form.html", GROUPS, Role.ADMIN, "security-group-page"))
def remove_security_group_page(request: PageRequest, scope: Scope, row: SecurityGroup) -> Outcome:
    """Delete a group, once its name was typed."""
    require_typed_name(request, row.name)
    remove_security_group(scope=scope, group_id=row.pk)
    return _("Deleting security group %(name)s.") % {"name": row.name}, ""


@login_required
@never_cache
@require_POST
def add_rule_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Add a rule of one's own to a group."""
    fields = filled_fields(request.POST, *RULE_FIELDS)
    return _add(request, pk, "rule", fields)


@login_required
@never_cache
@require_POST
def add_template_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Add the rules of a template to a group."""
    fields = filled_fields(request.POST, *TEMPLATE_FIELDS)
    template = TEMPLATES.get(fields.get("template", ""))
    for name in ("cidr", "group"):
        if template is not None and template.needs != name:
            fields.pop(name, None)
    return _add(request, pk, "template", {"template": "", **fields})


def _add(request: PageRequest, pk: UUID, form: str, fields: dict[str, Any]) -> HttpResponse:
    scope = page_scope(request)
    group = get_visible_row(GROUPS, scope, pk, Role.ADMIN)
    try:
        params = validate_form(NewRuleSerializer(data=fields))
        change = add_rules(scope=scope, group_id=group.pk, fields=params)
    except NotFoundError:
        raise
    except DomainError as refused:
        return render_group(request, scope, group, form=form, refused=refused)
    messages.success(request, _("Adding rules to security group %(name)s.") % {"name": group.name})
    for warning in change.warnings:
        messages.warning(request, warning)
    return redirect("security-group-detail-page", pk)


@login_required
@never_cache
@require_POST
def remove_rule_page(request: PageRequest, pk: UUID, rule_pk: UUID) -> HttpResponse:
    """Remove a rule from a group."""
    scope = page_scope(request)
    group = get_visible_row(GROUPS, scope, pk, Role.ADMIN)
    try:
        remove_rule(scope=scope, group_id=group.pk, rule_id=rule_pk)
    except NotFoundError:
        raise
    except DomainError as refused:
        return render_group(request, scope, group, form="remove", refused=refused)
    messages.success(request, _("Removing a rule from security group %(name)s.") % {"name": group.name})
    return redirect("security-group-detail-page", pk)
