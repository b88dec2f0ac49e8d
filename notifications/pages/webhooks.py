"""Pages of webhooks: the list, one webhook with its deliveries, and the forms. The secret is shown once."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods

from api.domain_errors import DomainError, OutdatedError
from api.errors import status_of
from api.form_errors import validate_form
from api.form_keys import new_form_key
from api.idempotency import claim_key
from api.page_addresses import require_POST
from pages.dialogs import render_dialog
from pages.lists import Filter, read_list_query
from pages.panels import render_page
from pages.tables import declare_table
from tenants.page_forms import Outcome, read_version, run_form, split_errors
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope

from ..models import Delivery, Webhook
from ..serializers import NewWebhookSerializer
from ..services import webhooks
from .event_choices import describe_codes, list_choices, read_codes

ORDERINGS = frozenset({"name", "delivered_at"})
FIELDS = ("name", "url", "codes")
LIST_PAGE = "webhook-page"
DETAIL_PAGE = "webhook-detail-page"
KEY_LENGTH = 32

declare_table(
    "deliveries",
    [
        ("status", gettext_lazy("Status")),
        ("attempts", gettext_lazy("Attempts")),
        ("answer", gettext_lazy("Response")),
        ("duration", gettext_lazy("Duration")),
        ("attempted_at", gettext_lazy("Last attempt")),
        ("error", gettext_lazy("Error")),
    ],
)


@login_required
@never_cache
@require_GET
def webhook_page(request: PageRequest) -> HttpResponse:
    """List the tenant's webhooks, for its administrators."""
    scope = page_scope(request)
    scope.require(Role.ADMIN, Webhook)
    query = read_list_query(request, orderings=ORDERINGS, ordering="name")
    found = Webhook.objects.within(scope).select_related("tenant")
    if query.search:
        found = found.filter(name__icontains=query.search)
    page = query.paginate(found.order_by(query.ordering, "pk"))
    context = {
        "scope": scope,
        "page": page,
        "query": query,
        "ordering": query.ordering,
        "rows": [{"webhook": one, "events": describe_codes(one.codes)} for one in page.object_list],
        "may_create": scope.tenant is not None,
    }
    return render_page(
        request,
        "notifications/webhooks.html",
        context,
        panels={"webhooks": "notifications/webhook_table.html"},
    )


@login_required
@never_cache
@require_GET
def webhook_detail_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show a webhook with its deliveries, the newest event first."""
    scope = page_scope(request)
    webhook, url = webhooks.read_webhook(scope=scope, webhook_id=pk)
    statuses = [(value, label) for value, label in Delivery.Status.choices]
    query = read_list_query(request, [Filter("status", _("Status"), _("All statuses"), statuses)])
    deliveries = Delivery.objects.filter(webhook=webhook, **query.values)
    if query.search:
        deliveries = deliveries.filter(code__icontains=query.search)
    page = query.paginate(deliveries.order_by("-number"))
    context = {
        "scope": scope,
        "webhook": webhook,
        "url": url,
        "events": describe_codes(webhook.codes),
        "page": page,
        "query": query,
        "deliveries": page.object_list,
        "has_failed": Delivery.objects.filter(webhook=webhook, status=Delivery.Status.FAILED).exists(),
        "is_busy": webhook.test_requested_at is not None,
    }
    panel = "notifications/webhook_panel.html"
    return render_page(request, "notifications/webhook.html", context, panels={"webhook": panel})


@login_required
@never_cache
@sensitive_post_parameters("url")
@require_http_methods(["GET", "POST"])
def new_webhook_page(request: PageRequest) -> HttpResponse:
    """Show the form; on POST, create a webhook and show its secret, this once."""
    scope = page_scope(request)
    scope.require(Role.ADMIN, Webhook)
    if scope.tenant is None:
        messages.warning(request, _("Select a tenant first. A webhook belongs to one tenant."))
        return redirect(LIST_PAGE)
    refused: DomainError | None = None
    if request.method == "POST":
        try:
            fields = validate_form(NewWebhookSerializer(data=_read_fields(request)))
            return _show_secret_once(
                request, scope, lambda: webhooks.create_webhook(scope=scope, fields=fields)
            )
        except DomainError as error:
            refused = error
    context = {
        "scope": scope,
        "title": _("Create webhook"),
        "list_page": LIST_PAGE,
        "secret_key": new_form_key(),
        "entered": {name: request.POST.get(name, "") for name in ("name", "url")},
        **list_choices(read_codes(request)),
        **split_errors(refused, FIELDS),
    }
    status = status_of(refused) if refused else 200
    return render_dialog(request, "notifications/webhook_form.html", context, status=status)


def _show_secret_once(request: PageRequest, scope: Scope, make: Any) -> HttpResponse:
    """Make a secret once for each rendered form, and show it. The answer is no redirect: the secret is shown nowhere else."""
    key = request.POST.get("secret_key", "")[:KEY_LENGTH].replace("\x00", "")
    with transaction.atomic():
        if key and claim_key(request.user, f"webhook:{key}", "") is None:
            text = _("The secret was already made and shown once. Create a new one if it was lost.")
            messages.warning(request, text)
            return redirect(LIST_PAGE)
        webhook, secret = make()
    context = {"scope": scope, "title": _("Secret of the webhook"), "webhook": webhook, "secret": secret}
    return render_dialog(request, "notifications/webhook_secret.html", context)


@login_required
@never_cache
@sensitive_post_parameters("url")
@require_http_methods(["GET", "POST"])
def edit_webhook_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show the form of a webhook; on POST, save it, unless somebody else has changed it since."""
    scope = page_scope(request)
    webhook, url = webhooks.read_webhook(scope=scope, webhook_id=pk)

    def change() -> Outcome:
        data = _read_fields(request) | {"active": request.POST.get("active") == "on"}
        fields = validate_form(NewWebhookSerializer(data=data))
        try:
            changed = webhooks.change_webhook(
                scope=scope, webhook_id=pk, fields=fields, if_match=read_version(request)
            )
        except OutdatedError as outdated:
            outdated.detail = _("Someone else changed this webhook. Save again to overwrite the changes.")
            raise
        return _("Webhook %(name)s was changed.") % {"name": changed.name}, _address(pk)

    codes = read_codes(request) if request.method == "POST" else webhook.codes
    context = {"scope": scope, "title": _("Edit webhook"), "webhook": webhook, **list_choices(codes)}
    return run_form(
        request,
        "notifications/webhook_form.html",
        context,
        change,
        list_page=LIST_PAGE,
        initial={"name": webhook.name, "url": url},
        fields=FIELDS,
    )


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def webhook_secret_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Ask whether a webhook is to get a new secret; on POST, create and show it, this once."""
    scope = page_scope(request)
    webhook, _url = webhooks.read_webhook(scope=scope, webhook_id=pk)
    if request.method == "POST":
        return _show_secret_once(request, scope, lambda: webhooks.rotate_secret(scope=scope, webhook_id=pk))
    context = {
        "scope": scope,
        "title": _("Create new secret"),
        "webhook": webhook,
        "secret_key": new_form_key(),
    }
    return render_dialog(request, "notifications/webhook_new_secret.html", context)


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def remove_webhook_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Ask whether a webhook is to be deleted; on POST, delete it."""
    scope = page_scope(request)
    webhook, _url = webhooks.read_webhook(scope=scope, webhook_id=pk)

    def remove() -> Outcome:
        removed = webhooks.remove_webhook(scope=scope, webhook_id=pk)
        return _("Webhook %(name)s was deleted.") % {"name": removed.name}, ""

    context = {"scope": scope, "title": _("Delete webhook"), "webhook": webhook}
    return run_form(request, "notifications/webhook_remove.html", context, remove, list_page=LIST_PAGE)


@login_required
@require_POST
def test_webhook(request: PageRequest, pk: UUID) -> HttpResponse:
    """Have a test message sent, and go back to the webhook, which shows the result."""
    webhooks.test_webhook(scope=page_scope(request), webhook_id=pk)
    messages.success(request, _("A test message will be sent within seconds."))
    return redirect(DETAIL_PAGE, pk)


@login_required
@require_POST
def send_again(request: PageRequest, pk: UUID) -> HttpResponse:
    """Have one event, or all whose delivery failed, sent again."""
    text = request.POST.get("number", "")
    numbers = [int(text)] if text.isascii() and text.isdigit() and len(text) < 19 else None
    if text and numbers is None:
        numbers = [0]
    try:
        count = webhooks.send_again(scope=page_scope(request), webhook_id=pk, numbers=numbers)
    except DomainError as refused:
        if status_of(refused) != 409:
            raise
        messages.error(request, refused.detail)
    else:
        text = ngettext("%(count)s event will be sent again.", "%(count)s events will be sent again.", count)
        messages.success(request, text % {"count": count})
    return redirect(DETAIL_PAGE, pk)


def _read_fields(request: PageRequest) -> dict[str, Any]:
    return {name: request.POST.get(name, "") for name in ("name", "url")} | {"codes": read_codes(request)}


def _address(pk: UUID) -> str:
    return reverse(DETAIL_PAGE, args=[pk])
