"""Pages of subscriptions: the messages that one gets, and those that the tenant gets."""

from __future__ import annotations

from datetime import time
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods

from api.domain_errors import OutdatedError
from api.form_errors import validate_form
from api.page_addresses import require_POST
from pages.lists import read_list_query
from pages.panels import render_page
from pages.tables import declare_table
from tenants.page_forms import Outcome, read_version, run_form
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope

from ..models import Subscription
from ..serializers import ChangeSubscriptionSerializer, NewSubscriptionSerializer
from ..services import subscriptions
from .event_choices import describe_codes, list_choices, read_codes

ORDERINGS = frozenset({"name", "delivered_at"})
FIELDS = ("name", "channel", "address", "secret", "timing", "quiet_from", "quiet_to", "codes")
# Addresses and secrets are never shown again.
SHOWN_FIELDS = ("name", "channel", "timing", "quiet_from", "quiet_to")
LIST_PAGE = "subscription-page"

declare_table(
    "subscriptions",
    [
        ("tenant", gettext_lazy("Tenant")),
        ("recipient", gettext_lazy("Recipient")),
        ("channel", gettext_lazy("Channel")),
        ("events", gettext_lazy("Events")),
        ("timing", gettext_lazy("Timing")),
        ("status", gettext_lazy("Status")),
        ("delivered_at", gettext_lazy("Last message")),
    ],
)


@login_required
@never_cache
@require_GET
def subscription_page(request: PageRequest) -> HttpResponse:
    """List the user's own subscriptions, and those of the tenant."""
    scope = page_scope(request)
    query = read_list_query(request, orderings=ORDERINGS, ordering="name")
    found = Subscription.objects.within(scope).select_related("tenant")
    if query.search:
        found = found.filter(name__icontains=query.search)
    page = query.paginate(found.order_by(query.ordering, "pk"))
    may_administer = scope.allows(Role.ADMIN, Subscription)
    context = {
        "scope": scope,
        "page": page,
        "query": query,
        "ordering": query.ordering,
        "rows": [
            {
                "subscription": one,
                "events": describe_codes(one.codes),
                "is_own": one.user_id is not None,
                "may_change": one.user_id is not None or may_administer,
                "quiet": f"{one.quiet_from:%H:%M}–{one.quiet_to:%H:%M}"
                if one.quiet_from and one.quiet_to
                else "",
            }
            for one in page.object_list
        ],
        "is_busy": any(one.test_requested_at for one in page.object_list),
        "may_create": scope.tenant is not None,
        "has_mail_address": bool(scope.user.email),
    }
    return render_page(
        request,
        "notifications/subscriptions.html",
        context,
        panels={"subscriptions": "notifications/subscription_table.html"},
    )


@login_required
@never_cache
@sensitive_post_parameters("address", "secret")
@require_http_methods(["GET", "POST"])
def new_subscription_page(request: PageRequest) -> HttpResponse:
    """Show the form; on POST, create a subscription."""
    scope = page_scope(request)
    if scope.tenant is None:
        messages.warning(request, _("Select a tenant first. A subscription belongs to one tenant."))
        return redirect(LIST_PAGE)

    def create() -> Outcome:
        data = _read_fields(request) | {"shared": request.POST.get("shared") == "on"}
        fields = validate_form(NewSubscriptionSerializer(data=data))
        created = subscriptions.create_subscription(scope=scope, fields=fields)
        return _("Subscription %(name)s was created.") % {"name": created.name}, ""

    codes = read_codes(request) if request.method == "POST" else ["task.errored", "task.failed", "task.stuck"]
    context = {"title": _("Create subscription"), **_build_context(request, scope, codes)}
    return run_form(
        request,
        "notifications/subscription_form.html",
        context,
        create,
        list_page=LIST_PAGE,
        initial={**dict.fromkeys(FIELDS, ""), "channel": "mail", "timing": "at_once"},
        fields=FIELDS,
    )


@login_required
@never_cache
@sensitive_post_parameters("address", "secret")
@require_http_methods(["GET", "POST"])
def edit_subscription_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show the form of a subscription; on POST, save it, unless somebody else has changed it since."""
    scope = page_scope(request)
    subscription = _get_changeable(scope, pk)

    def change() -> Outcome:
        data = _read_fields(request) | {"active": request.POST.get("active") == "on"}
        fields = validate_form(ChangeSubscriptionSerializer(data=data))
        try:
            changed = subscriptions.change_subscription(
                scope=scope, subscription_id=pk, fields=fields, if_match=read_version(request)
            )
        except OutdatedError as outdated:
            outdated.detail = _(
                "Someone else changed this subscription. Save again to overwrite the changes."
            )
            raise
        return _("Subscription %(name)s was changed.") % {"name": changed.name}, ""

    codes = read_codes(request) if request.method == "POST" else subscription.codes
    is_checked = subscription.only_own if request.method == "GET" else request.POST.get("only_own") == "on"
    context = {
        "title": _("Edit subscription"),
        "subscription": subscription,
        **_build_context(request, scope, codes),
        "only_own": is_checked,
    }
    initial = {name: _format(getattr(subscription, name)) for name in SHOWN_FIELDS}
    return run_form(
        request,
        "notifications/subscription_form.html",
        context,
        change,
        list_page=LIST_PAGE,
        initial=initial,
        fields=FIELDS,
    )


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def remove_subscription_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Ask whether a subscription is to be deleted; on POST, delete it."""
    scope = page_scope(request)
    subscription = _get_changeable(scope, pk)

    def remove() -> Outcome:
        removed = subscriptions.remove_subscription(scope=scope, subscription_id=pk)
        return _("Subscription %(name)s was deleted.") % {"name": removed.name}, ""

    context = {"scope": scope, "title": _("Delete subscription"), "subscription": subscription}
    template = "notifications/subscription_remove.html"
    return run_form(request, template, context, remove, list_page=LIST_PAGE)


@login_required
@require_POST
def test_subscription(request: PageRequest, pk: UUID) -> HttpResponse:
    """Have a test message sent, and go back to the list, which shows the result."""
    subscriptions.test_subscription(scope=page_scope(request), subscription_id=pk)
    messages.success(request, _("A test message will be sent within seconds."))
    return redirect(LIST_PAGE)


def _get_changeable(scope: Scope, pk: UUID) -> Subscription:
    """Return a subscription that the caller may change. Raises `NotFoundError`, 403 for those of the tenant."""
    subscription = subscriptions.get_subscription(scope=scope, subscription_id=pk)
    if subscription.user_id is None:
        scope.require(Role.ADMIN, Subscription)
    return subscription


def _format(value: Any) -> str:
    return f"{value:%H:%M}" if isinstance(value, time) else str(value or "")


def _build_context(request: PageRequest, scope: Scope, codes: list[str]) -> dict[str, Any]:
    return {
        "scope": scope,
        "channels": Subscription.Channel.choices,
        "timings": Subscription.Timing.choices,
        "may_share": scope.allows(Role.ADMIN, Subscription),
        "only_own": request.POST.get("only_own") == "on",
        "shared": request.POST.get("shared") == "on",
        **list_choices(codes),
    }


def _read_fields(request: PageRequest) -> dict[str, Any]:
    """Return the fields of the form. Empty times are none."""
    fields: dict[str, Any] = {
        name: request.POST.get(name, "") for name in ("name", "channel", "address", "timing")
    }
    fields |= {name: request.POST.get(name) or None for name in ("quiet_from", "quiet_to")}
    if secret := request.POST.get("secret", ""):
        fields["secret"] = secret
    return fields | {"only_own": request.POST.get("only_own") == "on", "codes": read_codes(request)}
