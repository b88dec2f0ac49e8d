"""The search over everything that a user may see: VMs, volumes, services, hosts, resources of the clouds, tasks, and pages.

One answer comes from a fixed number of queries, each limited, so that it stays quick with any number of rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from api.replica.reads import reads_list
from cloudaccounts.models import CloudAccount, CloudResource
from deploys.models import Host, MicroService
from tasks.models import Job
from tasks.serializers import describe_job
from tenants.scoped_pages import page_scope
from tenants.scoping import Scope
from vms.models import VirtualMachine
from volumepool.models import Volume

from .navigation import list_navigation

MAX_HITS = 8
MIN_LENGTH = 2


@dataclass(frozen=True, slots=True)
class Hit:
    """An object that matches, with the address of its page."""

    name: str
    url: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """The matches of one kind, and the address of a list with all of them."""

    label: str | Promise
    icon: str
    hits: list[Hit]
    all_url: str = ""


Search = Callable[[Scope, str], list[Hit]]


@login_required
@require_GET
@reads_list
def search_page(request: HttpRequest) -> HttpResponse:
    """Show everything in the scope that matches a text."""
    scope = page_scope(request)
    text = request.GET.get("q", "").replace("\x00", "").strip()[:200]
    sections = (
        [] if len(text) < MIN_LENGTH else [*_search_pages(request, text), *_search_objects(scope, text)]
    )
    context = {"scope": scope, "q": text, "sections": sections, "is_too_short": 0 < len(text) < MIN_LENGTH}
    return render(request, "portal/search.html", context)


def _search_pages(request: HttpRequest, text: str) -> list[Section]:
    hits = [
        Hit(str(link["label"]), link["url"])
        for group in list_navigation(request)
        for link in group["links"]
        if text.lower() in str(link["label"]).lower()
    ]
    return [Section(_("Pages"), "document", hits)] if hits else []


def _search_objects(scope: Scope, text: str) -> list[Section]:
    sections = []
    for label, icon, search, list_name in SEARCHES:
        if hits := search(scope, text):
            all_url = _list_matches(list_name, text) if list_name and len(hits) == MAX_HITS else ""
            sections.append(Section(label, icon, hits, all_url))
    return sections


def _list_matches(list_name: str, text: str) -> str:
    """Return the address of a list that is searched for a text."""
    return f"{reverse(list_name)}?{urlencode({'search': text})}"


def _search_vms(scope: Scope, text: str) -> list[Hit]:
    found = (
        VirtualMachine.objects.within(scope)
        .outside_bin()
        .filter(Q(name__icontains=text) | Q(ip_address__istartswith=text) | Q(openstack_id=text))
        .select_related("information_system")
        .order_by("name", "pk")[:MAX_HITS]
    )
    return [
        Hit(
            vm.name,
            reverse("vm-detail-page", args=[vm.pk]),
            " · ".join(filter(None, [vm.ip_address, vm.information_system.name])),
        )
        for vm in found
    ]


def _search_volumes(scope: Scope, text: str) -> list[Hit]:
    found = (
        Volume.objects.within(scope)
        .outside_bin()
        .filter(Q(name__icontains=text) | Q(volume_id=text))
        .select_related("vm")
    )
    return [
        Hit(
            volume.name,
            _list_matches("volume-page", volume.name),
            " · ".join(filter(None, [f"{volume.size_gb} GiB", volume.vm.name if volume.vm else ""])),
        )
        for volume in found.order_by("name", "pk")[:MAX_HITS]
    ]


def _search_services(scope: Scope, text: str) -> list[Hit]:
    found = MicroService.objects.within(scope).filter(name__icontains=text).order_by("name", "pk")[:MAX_HITS]
    return [Hit(service.name, reverse("service-detail-page", args=[service.pk])) for service in found]


def _search_hosts(scope: Scope, text: str) -> list[Hit]:
    found = Host.objects.within(scope).filter(Q(hostname__icontains=text) | Q(ip__startswith=text))
    return [
        Hit(host.hostname, reverse("host-detail-page", args=[host.pk]), str(host.ip))
        for host in found.order_by("hostname", "pk")[:MAX_HITS]
    ]


def _search_accounts(scope: Scope, text: str) -> list[Hit]:
    found = CloudAccount.objects.within(scope).filter(name__icontains=text).order_by("name", "pk")[:MAX_HITS]
    return [Hit(account.name, reverse("account-detail-page", args=[account.pk])) for account in found]


def _search_resources(scope: Scope, text: str) -> list[Hit]:
    found = (
        CloudResource.objects.within(scope)
        .filter(Q(name__icontains=text) | Q(cloud_id=text), expired_at=None)
        .select_related("account")
        .order_by("name", "pk")[:MAX_HITS]
    )
    return [
        Hit(
            resource.name or resource.cloud_id,
            reverse("resource-detail-page", args=[resource.pk]),
            f"{resource.type} · {resource.account.name}",
        )
        for resource in found
    ]


def _search_jobs(scope: Scope, text: str) -> list[Hit]:
    try:
        job = Job.objects.within(scope).filter(pk=UUID(text)).first()
    except ValueError:
        return []
    return (
        []
        if job is None
        else [Hit(describe_job(job), reverse("job-page", args=[job.pk]), job.get_status_display())]
    )


SEARCHES: list[tuple[str | Promise, str, Search, str]] = [
    (_("Virtual machines"), "server", _search_vms, "vm-page"),
    (_("Volumes"), "circle-stack", _search_volumes, "volume-page"),
    (_("Services"), "cube", _search_services, "service-page"),
    (_("Hosts"), "computer-desktop", _search_hosts, "host-page"),
    (_("Cloud accounts"), "cloud", _search_accounts, "account-page"),
    (_("Cloud inventory"), "rectangle-stack", _search_resources, "resource-page"),
    (_("Tasks"), "queue-list", _search_jobs, ""),
]
