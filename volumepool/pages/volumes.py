"""The page of the tenant's volumes, and the forms that change one of them."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.db.models import Count, Q, QuerySet
from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext_lazy
from django.views.decorators.http import require_GET

from api.domain_errors import InvalidFieldsError
from api.form_errors import filled_fields, validate_form
from api.replica.reads import reads_list
from api.tags import match_tags
from cloudaccounts.models import CloudAccount
from pages.cloud_statuses import VOLUME_STATUSES, label_cloud_status
from pages.key_values import format_key_values, parse_key_values
from pages.lists import Filter, ListQuery, read_list_query
from pages.panels import render_page
from pages.tables import declare_table
from tasks import engine
from tenants.application_choices import build_application_filter
from tenants.page_forms import Outcome, require_typed_name
from tenants.row_forms import RowForm, row_form_page
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope
from tenants.tag_filters import build_tag_filters, list_tags

from ..models import GONE, Volume
from ..serializers import ChangeVolumeSerializer, VolumeActionSerializer
from ..services import (
    change_volume,
    extend_volume,
    remove_volume,
    rename_volume,
    restore_volume,
    take_snapshot,
)
from ..services.volume_bin import goes_to_bin
from ..volume_states import list_allowed_actions

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
@reads_list
def volume_page(request: PageRequest) -> HttpResponse:
    """Show the volumes. The search and the filters are those of REST."""
    scope = page_scope(request)
    query = read_list_query(request, _build_filters(request, scope), orderings=ORDERINGS, ordering="name")
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
                "tags": list_tags(volume.tags),
            }
            for volume in volumes_of_page
        ],
        "query": query,
        "ordering": query.ordering,
        "is_busy": bool(holders),
        "in_bin": query.values.get("in_bin") == "true",
        "may_administer": may_administer,
        "may_control": may_control,
    }
    return render_page(
        request, "volumepool/page.html", context, panels={"volumes": "volumepool/volume_table.html"}
    )


def build_place_filters(request: PageRequest, scope: Scope) -> list[Filter]:
    """Return the filters by application and by cloud account."""
    accounts = CloudAccount.objects.within(scope) if scope.tenant is None else None
    if accounts is None and scope.tenant is not None:
        accounts = CloudAccount.objects.for_tenant(scope.tenant)
    return [
        build_application_filter(request, scope),
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


def _build_filters(request: PageRequest, scope: Scope) -> list[Filter]:
    statuses = [(status, str(label)) for status, label in VOLUME_STATUSES.items()]
    attached = [("true", _("Attached")), ("false", _("Not attached"))]
    return [
        Filter("status", _("Status"), _("All statuses"), statuses),
        Filter("attached", _("Attached to"), _("Attached or not"), attached),
        *build_place_filters(request, scope),
        *build_tag_filters(request, Volume.objects.within(scope)),
        Filter("in_bin", _("Bin"), _("Not in the bin"), [("true", _("In the bin"))]),
    ]


def _filter_volumes(volumes: QuerySet[Volume], query: ListQuery) -> QuerySet[Volume]:
    values = dict(query.values)
    if (attached := values.pop("attached", "")) != "":
        volumes = volumes.filter(vm__isnull=attached == "false")
    volumes = volumes.filter(binned_at__isnull=values.pop("in_bin", "") != "true")
    if tag := values.pop("tag", ""):
        volumes = volumes.filter(match_tags([tag]))
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
    if may_control and not volume.is_in_bin:
        menu.append(("volume-tags", _("Edit tags…"), "tag"))
    if may_control and not volume.deletion_protection and not volume.is_in_bin:
        menu.append(("volume-protection", _("Turn on deletion protection…"), "lock-closed"))
    elif may_administer and volume.deletion_protection:
        menu.append(("volume-protection", _("Turn off deletion protection…"), "lock-open"))
    if may_administer and "restore" in allowed:
        menu.append(("volume-restore-page", _("Restore volume…"), "arrow-uturn-left"))
    if may_administer and "remove" in allowed:
        label = _("Delete permanently…") if volume.is_in_bin else _("Delete volume…")
        menu.append(("volume-remove", label, "trash"))
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
    if volume.deletion_protection:
        blocked = _("Deletion protection is on for volume '%(name)s'. Turn it off first.") % {
            "name": volume.name
        }
    to_bin = goes_to_bin(volume) and not volume.is_in_bin
    return {"blocked": blocked, "to_bin": to_bin, "bin_days": settings.BIN_DAYS}


@row_form_page(
    RowForm("volumepool/remove_form.html", VOLUMES, Role.ADMIN, "volume-page", context=_explain_blocked)
)
def remove_volume_page(request: PageRequest, scope: Scope, row: Volume) -> Outcome:
    """Delete a volume and its data, once its name was typed."""
    require_typed_name(request, row.name)
    change = remove_volume(scope=scope, volume_id=row.pk, permanent=row.is_in_bin)
    if change.job is None:
        return _("Volume %(name)s was moved to the bin.") % {"name": row.name}, ""
    return _("Deleting volume %(name)s.") % {"name": row.name}, ""


@row_form_page(RowForm("volumepool/restore_form.html", VOLUMES, Role.ADMIN, "volume-page"))
def restore_volume_page(request: PageRequest, scope: Scope, row: Volume) -> Outcome:
    """Restore a volume from the bin."""
    restore_volume(scope=scope, volume_id=row.pk)
    return _("Volume %(name)s was restored.") % {"name": row.name}, ""


@row_form_page(
    RowForm(
        "volumepool/tags_form.html",
        VOLUMES,
        Role.OPERATOR,
        "volume-page",
        ("tags",),
        initial=lambda volume: {"tags": format_key_values(volume.tags)},
    )
)
def change_volume_tags_page(request: PageRequest, scope: Scope, row: Volume) -> Outcome:
    """Replace the tags of a volume."""
    tags, errors = parse_key_values(request.POST.get("tags", ""))
    if errors:
        raise InvalidFieldsError({"tags": errors})
    params = validate_form(ChangeVolumeSerializer(data={"tags": tags}))
    change_volume(scope=scope, volume_id=row.pk, fields=params)
    return _("Changes saved."), ""


@row_form_page(RowForm("volumepool/protection_form.html", VOLUMES, Role.OPERATOR, "volume-page"))
def protect_volume_page(request: PageRequest, scope: Scope, row: Volume) -> Outcome:
    """Turn the deletion protection of a volume on or off. Twice the same changes nothing."""
    is_on = request.POST.get("deletion_protection") == "true"
    change_volume(scope=scope, volume_id=row.pk, fields={"deletion_protection": is_on})
    return _("Deletion protection turned on.") if is_on else _("Deletion protection turned off."), ""
