"""The compute hosts of an account, for staff: what the tab shows, and its button."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from api.domain_errors import DomainError
from api.form_errors import show_error
from api.page_addresses import require_POST
from pages.panels import render_messages
from pages.tables import declare_table
from tasks import engine
from tasks.models import Job, JobStatus
from tasks.serializers import JobSerializer
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Scope, has_staff_permission

from ..commands import ReadHostsCommand
from ..models import CloudAccount, ComputeHost
from ..services import read_hosts

MAX_SHOWN_HOSTS = 1000

declare_table(
    "compute_hosts",
    [
        ("region", gettext_lazy("Region")),
        ("service", gettext_lazy("Compute service")),
        ("zone", gettext_lazy("Availability zone")),
        ("aggregates", gettext_lazy("Aggregates")),
        ("hypervisor", gettext_lazy("Hypervisor")),
        ("servers", gettext_lazy("Servers")),
        ("cpu_cores", gettext_lazy("vCPUs")),
        ("memory", gettext_lazy("Memory")),
    ],
)


def may_see_hosts(scope: Scope) -> bool:
    """Return whether the caller may see compute hosts."""
    return has_staff_permission(scope.user, "cloudaccounts.view_cloudaccount")


def build_hosts_context(scope: Scope, account: CloudAccount) -> dict[str, Any]:
    """Return the hosts of the last reading, the job that reads them anew, or why the last one failed."""
    found = ComputeHost.objects.filter(account=account)
    hosts = list(found[:MAX_SHOWN_HOSTS])
    (key,) = ReadHostsCommand(account.pk).locks()
    job = engine.lock_holder(key)
    last = None
    if job is None:
        jobs = Job.objects.filter(
            kind=ReadHostsCommand.kind, entity_type="cloud_account", entity_id=str(account.pk)
        )
        last = jobs.order_by("-created_at").first()
    has_failed = last is not None and last.status != JobStatus.SUCCEEDED
    return {
        "hosts": hosts,
        "host_count": found.count() if len(hosts) == MAX_SHOWN_HOSTS else len(hosts),
        "hosts_read_at": hosts[0].read_at if hosts else None,
        "hosts_job": JobSerializer(job).data if job else None,
        "hosts_error": last.outcome_message if last is not None and has_failed else "",
        "may_read_hosts": has_staff_permission(scope.user, "cloudaccounts.change_cloudaccount"),
    }


@login_required
@require_POST
def read_hosts_page(request: PageRequest, pk: int) -> HttpResponse:
    """Read the hosts from the cloud."""
    try:
        read_hosts(scope=page_scope(request), account_id=pk)
        messages.success(request, _("Reading the hosts."))
    except DomainError as refused:
        show_error(request, refused)
    return render_messages(request) if request.htmx else redirect("account-hosts-page", pk)
