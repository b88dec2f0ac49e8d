"""Pages of the tenant's templates of user data: the list, and the forms that create, change and delete one."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods

from api.domain_errors import OutdatedError
from api.form_errors import validate_form
from pages.lists import read_list_query
from pages.panels import render_page
from tenants.page_forms import Outcome, read_version, run_form
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role

from ..models import UserDataTemplate
from ..serializers import NewUserDataTemplateSerializer
from ..services import user_data_templates

ORDERINGS = frozenset({"name", "updated_at"})
FIELDS = ("name", "text")
LIST_PAGE = "user-data-template-page"


@login_required
@never_cache
@require_GET
def user_data_template_page(request: PageRequest) -> HttpResponse:
    """List the templates by name, without their texts."""
    scope = page_scope(request)
    query = read_list_query(request, orderings=ORDERINGS, ordering="name")
    templates = UserDataTemplate.objects.within(scope).select_related("tenant", "updated_by")
    templates = templates.defer("encrypted_text")
    if query.search:
        templates = templates.filter(name__icontains=query.search)
    page = query.paginate(templates.order_by(query.ordering, "pk"))
    may_administer = scope.allows(Role.ADMIN, UserDataTemplate)
    context = {
        "scope": scope,
        "page": page,
        "query": query,
        "ordering": query.ordering,
        "templates": page.object_list,
        "may_administer": may_administer,
        "may_create": may_administer and scope.tenant is not None,
    }
    return render_page(
        request,
        "vms/user_data_templates.html",
        context,
        panels={"templates": "vms/user_data_template_table.html"},
    )


@login_required
@never_cache
@sensitive_post_parameters("text")
@require_http_methods(["GET", "POST"])
def new_user_data_template_page(request: PageRequest) -> HttpResponse:
    """Show the form; on POST, create a template."""
    scope = page_scope(request)
    scope.require(Role.ADMIN, UserDataTemplate)
    if scope.tenant is None:
        messages.warning(request, _("Select a tenant first. A template belongs to one tenant."))
        return redirect(LIST_PAGE)

    def create() -> Outcome:
        fields = validate_form(NewUserDataTemplateSerializer(data=_read_fields(request)))
        template = user_data_templates.add_template(scope=scope, **fields)
        return _("Template %(name)s was created.") % {"name": template.name}, ""

    context = {"scope": scope, "title": _("Create user data template")}
    return run_form(
        request, "vms/user_data_template_form.html", context, create, list_page=LIST_PAGE, fields=FIELDS
    )


@login_required
@never_cache
@sensitive_post_parameters("text")
@require_http_methods(["GET", "POST"])
def edit_user_data_template_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show the form with name and text; on POST, save them, unless somebody else has changed them since."""
    scope = page_scope(request)
    template, text = user_data_templates.read_template(scope=scope, template_id=pk)

    def change() -> Outcome:
        fields = validate_form(NewUserDataTemplateSerializer(data=_read_fields(request)))
        try:
            changed = user_data_templates.change_template(
                scope=scope, template_id=pk, fields=fields, if_match=read_version(request)
            )
        except OutdatedError as outdated:
            # The form then has the present version, so sending it again overwrites the other changes knowingly.
            outdated.detail = _("Someone else changed this template. Save again to overwrite the changes.")
            raise
        return _("Template %(name)s was changed.") % {"name": changed.name}, ""

    context = {"scope": scope, "title": _("Edit user data template"), "template": template}
    return run_form(
        request,
        "vms/user_data_template_form.html",
        context,
        change,
        list_page=LIST_PAGE,
        initial={"name": template.name, "text": text},
        fields=FIELDS,
    )


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def remove_user_data_template_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Ask whether a template is to be deleted; on POST, delete it."""
    scope = page_scope(request)
    template, _text = user_data_templates.read_template(scope=scope, template_id=pk)

    def remove() -> Outcome:
        removed = user_data_templates.remove_template(scope=scope, template_id=pk)
        return _("Template %(name)s was deleted.") % {"name": removed.name}, ""

    context = {"scope": scope, "title": _("Delete user data template"), "template": template}
    return run_form(request, "vms/user_data_template_remove.html", context, remove, list_page=LIST_PAGE)


def _read_fields(request: PageRequest) -> dict[str, str]:
    """Return the form's fields. Browsers send line breaks as CR LF, with which a script would not run."""
    fields = {name: request.POST.get(name, "") for name in FIELDS}
    return fields | {"text": fields["text"].replace("\r\n", "\n")}
