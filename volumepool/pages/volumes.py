"""The page of the tenant's volumes, and the forms that change one of them."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.db.models import Count, Q, QuerySet
from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext_lazy
from django.views.decorators.http import require_GET

from api.form_errors import filled_fields, validate_form
from cloudaccounts.models import CloudAccount
from pages.cloud_statuses import VOLUME_STATUSES, label_cloud_status
from pages.lists import Filter, ListQuery, read_list_query
from pages.panels import render_page
from pages.tables import declare_table
from tasks import engine
from tenants.application_choices import build_application_filter
from tenants.page_forms import Outcome, require_typed_name
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope

from ..models import GONE, Volume
from ..serializers import ChangeVolumeSerializer, VolumeActionSerializer
from ..services import extend_volume, remove_volume, rename_volume, take_snapshot
from ..volume_states import list_allowed_actions
from .row_forms import RowForm, row_form_page

VOLUMES = Volume.objects.select_related("information_system", "account", "vm")
ORDERINGS = frozenset({"name", "size_gb", "status", "created_at"})
declare_table(
    "volumes",
    [
        ("size", pgettext_lazy("volume", "Size")),
        ("type", gettext_lazy("Type")),
        ("status", gettext_lazy("Status")),
        ("attached_to", gettext_lazy("Attached to")),
        ("application", gettext_lazy("Application")),
        ("account", gettext_lazy("Cloud account")),
        ("created_at", gettext_lazy("Created")),
    ],
)
# The status that is shown while a job holds the volume, by the job's kind.
STATUS_OF_JOB = {
    "volumepool.create_volume": "creating",
    "volumepool.provide_volumes": "creating",
    "volumepool.extend_volume": "extending",
    "volumepool.remove_volume": "deleting",
    "volumepool.remove_snapshot": "deleting",
    "volumepool.snapshot_volume": "creating",
    "vms.attach_volume": "attaching",
    "vms.detach_volume": "detaching",
}
UPDATING = gettext_lazy("Updating")


@login_required
@require_GET
def volume_page(request: PageRequest) -> HttpResponse:
    """Show the volumes. The search and the filters are those of REST."""
    scope = page_scope(request)
    query = read_list_query(request, _build_filters(scope), orderings=ORDERINGS, ordering="name")
    existing = Count("snapshots", filter=~Q(snapshots__status=GONE))
    volumes = _filter_volumes(VOLUMES.within(scope), query).annotate(snapshot_count=existing)
    order = [query.ordering] if query.ordering.lstrip("-") == "name" else [query.ordering, "name"]
    page = query.paginate(volumes.order_by(*order, "pk"))
    volumes_of_page = list(page.object_list)
    holders = engine.lock_holders(volume.lock_key for volume in volumes_of_page)
    may_administer, may_control = scope.allows(Role.ADMIN, Volume), scope.allows(Role.OPERATOR, Volume)
    context = {
        "scope": scope,
        "page": page,
        "rows": [
            {
                "volume": volume,
                "job": holders.get(volume.lock_key),
                "busy": label_job(holders.get(volume.lock_key)),
                "menu": _list_menu(volume, may_control=may_control, may_administer=may_administer),
            }
            for volume in volumes_of_page
        ],
        "query": query,
        "ordering": query.ordering,
        "is_busy": bool(holders),
        "may_administer": may_administer,
        "may_control": may_control,
    }
    return render_page(
        request, "volumepool/page.html", context, panels={"volumes": "volumepool/volume_table.html"}
    )


def build_place_filters(scope: Scope) -> list[Filter]:
    """Return the filters by application and by cloud account."""
    accounts = CloudAccount.objects.within(scope) if scope.tenant is None else None
    if accounts is None and scope.tenant is not None:
        accounts = CloudAccount.objects.for_tenant(scope.tenant)
    return [
        build_application_filter(scope),
        Filter(
            "account",
            _("Cloud account"),
            _("All cloud accounts"),
            [(str(one.pk), one.name) for one in (accounts or [])],
        ),
    ]


def label_job(job: Any) -> tuple[str, str] | None:
    """Return the status and the label of a row that a job changes; None without a job."""
    if job is None:
        return None
    status = STATUS_OF_JOB.get(job.kind)
    return (status, label_cloud_status(status)) if status else ("building", str(UPDATING))


def _build_filters(scope: Scope) -> list[Filter]:
    statuses = [(status, str(label)) for status, label in VOLUME_STATUSES.items()]
    attached = [("true", _("Attached")), ("false", _("Not attached"))]
    return [
        Filter("status", _("Status"), _("All statuses"), statuses),
        Filter("attached", _("Attached to"), _("Attached or not"), attached),
        *build_place_filters(scope),
    ]


def _filter_volumes(volumes: QuerySet[Volume], query: ListQuery) -> QuerySet[Volume]:
    values = dict(query.values)
    if (attached := values.pop("attached", "")) != "":
        volumes = volumes.filter(vm__isnull=attached == "false")
    if query.search:
        volumes = volumes.filter(Q(name__icontains=query.search) | Q(volume_id__icontains=query.search))
    return volumes.filter(**values)


def _list_menu(volume: Volume, *, may_control: bool, may_administer: bool) -> list[tuple[str, Any, str]]:
    """Return the actions that the status and the role allow: the page of the form, its label, and its icon."""
    allowed = list_allowed_actions(volume)
    menu: list[tuple[str, Any, str]] = []
    if may_control and "rename" in allowed:
        menu.append(("volume-rename", _("Rename…"), "pencil"))
    if may_administer and "extend" in allowed:
        menu.append(("volume-extend", _("Extend…"), "arrows-pointing-out"))
    if may_control and "snapshot" in allowed:
        menu.append(("volume-snapshot", _("Create snapshot…"), "camera"))
    if may_administer and "remove" in allowed:
        menu.append(("volume-remove", _("Delete volume…"), "trash"))
    return menu


@row_form_page(
    RowForm(
        "volumepool/rename_form.html",
        VOLUMES,
        Role.OPERATOR,
        "volume-page",
        ("name",),
        initial=lambda volume: {"name": volume.name},
    )
)
def rename_volume_page(request: PageRequest, scope: Scope, row: Volume) -> Outcome:
    """Rename a volume, in the cloud too."""
    params = validate_form(ChangeVolumeSerializer(data={"name": request.POST.get("name", "")}))
    change = rename_volume(scope=scope, volume_id=row.pk, name=params["name"])
    if change.job is None:
        return _("Volume %(name)s has this name already.") % {"name": row.name}, ""
    return _("Renaming volume %(name)s to %(new)s.") % {"name": row.name, "new": params["name"]}, ""


@row_form_page(
    RowForm(
        "volumepool/extend_form.html",
        VOLUMES,
        Role.ADMIN,
        "volume-page",
        ("size_gb",),
        initial=lambda volume: {"size_gb": volume.size_gb},
    )
)
def extend_volume_page(request: PageRequest, scope: Scope, row: Volume) -> Outcome:
    """Extend a volume."""
    fields = {"action": "extend", **filled_fields(request.POST, "size_gb")}
    params = validate_form(VolumeActionSerializer(data=fields))
    change = extend_volume(scope=scope, volume_id=row.pk, size_gb=params["size_gb"])
    values = {"name": row.name, "size": params["size_gb"]}
    if change.job is None:
        return _("Volume %(name)s has %(size)s GiB already.") % values, ""
    return _("Extending volume %(name)s to %(size)s GiB.") % values, ""


@row_form_page(RowForm("volumepool/snapshot_form.html", VOLUMES, Role.OPERATOR, "volume-page", ("name",)))
def snapshot_volume_page(request: PageRequest, scope: Scope, row: Volume) -> Outcome:
    """Create a snapshot of a volume."""
    fields = {"action": "snapshot", **filled_fields(request.POST, "name")}
    params = validate_form(VolumeActionSerializer(data=fields))
    take_snapshot(scope=scope, volume_id=row.pk, name=params["name"])
    values = {"snapshot": params["name"], "name": row.name}
    return _("Creating snapshot %(snapshot)s of volume %(name)s.") % values, ""


def _explain_blocked(volume: Volume) -> dict[str, Any]:
    count = volume.snapshots.exclude(status=GONE).count()
    blocked = ""
    if volume.vm is not None:
        blocked = _("Volume %(name)s is attached to VM %(vm)s. Detach the volume first.") % {
            "name": volume.name,
            "vm": volume.vm.name,
        }
    elif count:
        blocked = ngettext(
            "Volume %(name)s has %(count)s snapshot. Delete the snapshot first.",
            "Volume %(name)s has %(count)s snapshots. Delete the snapshots first.",
            count,
        ) % {"name": volume.name, "count": count}
    return {"blocked": blocked}


@row_form_page(
    RowForm("volumepool/remove_form.html", VOLUMES, Role.ADMIN, "volume-page", context=_explain_blocked)
)
def remove_volume_page(request: PageRequest, scope: Scope, row: Volume) -> Outcome:
    """Delete a volume and its data, once its name was typed."""
    require_typed_name(request, row.name)
    remove_volume(scope=scope, volume_id=row.pk)
    return _("Deleting volume %(name)s.") % {"name": row.name}, ""
