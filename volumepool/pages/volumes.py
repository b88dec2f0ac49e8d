"""The tenant's volumes: what there is, on which VM, and removing what is on none."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import urlencode
from django.views.decorators.http import require_GET, require_POST

from portal.api.errors import Refused
from portal.api.scoped_pages import PageRequest, page_scope
from portal.api.scoping import Role
from tasks.models import EntityLock

from ..models import Volume
from ..services import remove_volume

PAGE_SIZE = 50


@login_required
@require_GET
def volume_page(request: PageRequest) -> HttpResponse:
    """The list, with a search by name and a filter by whether a VM has it."""
    scope = page_scope(request)
    volumes = Volume.objects.within(scope).select_related("information_system", "account", "vm")
    search = request.GET.get("search", "")[:200].replace("\x00", "").strip()
    attached = request.GET.get("attached", "")
    if search:
        volumes = volumes.filter(name__icontains=search)
    if attached in {"true", "false"}:
        volumes = volumes.filter(vm__isnull=attached == "false")
    page = Paginator(volumes.order_by("name", "pk"), PAGE_SIZE).get_page(request.GET.get("page"))
    rows = list(page.object_list)
    keys = [volume.lock_key for volume in rows]
    held = {lock.key: lock.job for lock in EntityLock.objects.filter(key__in=keys).select_related("job")}
    context = {
        "scope": scope,
        "page": page,
        "rows": [(volume, held.get(volume.lock_key)) for volume in rows],
        "changes": bool(held),
        "search": search,
        "attached": attached,
        "query": urlencode({"search": search, "attached": attached}),
        "may_administer": scope.role.covers(Role.ADMIN),
    }
    return render(request, "volumepool/page.html", context)


@login_required
@require_POST
def remove_volume_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Have a volume removed, with what is on it. A refusal is shown in the words of the API."""
    try:
        remove_volume(scope=page_scope(request), volume_id=pk)
    except Refused as refused:
        messages.error(request, str(refused.detail))
    return redirect("volume-page")
