"""The page of the tenant's volume snapshots, and the forms to copy and delete one."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.db.models import Q
from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy
from django.views.decorators.http import require_GET

from api.form_errors import filled_fields, validate_form
from api.replica.reads import reads_list
from pages.cloud_statuses import VOLUME_STATUSES
from pages.lists import Filter, read_list_query
from pages.panels import render_page
from pages.tables import declare_table
from tasks import engine
from tenants.page_forms import Outcome, require_typed_name
from tenants.row_forms import RowForm, row_form_page
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope

from ..models import VolumeSnapshot
from ..serializers import NewVolumesSerializer
from ..services import VolumeCreationRequest, create_volumes, remove_snapshot
from .volumes import build_place_filters, label_job

SNAPSHOTS = VolumeSnapshot.objects.select_related("information_system", "account", "volume", "created_by")
ORDERINGS = frozenset({"name", "size_gb", "status", "created_at"})
declare_table(
    "volume_snapshots",
    [
        ("volume", gettext_lazy("Volume")),
        ("size", pgettext_lazy("volume", "Size")),
        ("status", gettext_lazy("Status")),
        ("application", gettext_lazy("Application")),
        ("account", gettext_lazy("Cloud account")),
        ("created_at", gettext_lazy("Created")),
        ("created_by", gettext_lazy("Created by")),
    ],
)


@login_required
@require_GET
@reads_list
def volume_snapshot_page(request: PageRequest) -> HttpResponse:
    """Show the snapshots, newest first."""
    scope = page_scope(request)
    statuses = [(status, str(label)) for status, label in VOLUME_STATUSES.items()]
    filters = [
        Filter("status", _("Status"), _("All statuses"), statuses),
        *build_place_filters(request, scope),
    ]
    query = read_list_query(request, filters, orderings=ORDERINGS, ordering="-created_at")
    snapshots = SNAPSHOTS.within(scope).filter(**query.values)
    if query.search:
        snapshots = snapshots.filter(
            Q(name__icontains=query.search) | Q(volume__name__icontains=query.search)
        )
    page = query.paginate(snapshots.order_by(query.ordering, "pk"))
    listed = list(page.object_list)
    holders = engine.lock_holders(snapshot.lock_key for snapshot in listed)
    context = {
        "scope": scope,
        "page": page,
        "rows": [
            {
                "snapshot": snapshot,
                "job": holders.get(snapshot.lock_key),
                "busy": label_job(holders.get(snapshot.lock_key)),
            }
            for snapshot in listed
        ],
        "query": query,
        "ordering": query.ordering,
        "is_busy": bool(holders),
        "may_administer": scope.allows(Role.ADMIN, VolumeSnapshot),
        "may_control": scope.allows(Role.OPERATOR, VolumeSnapshot),
    }
    return render_page(
        request,
        "volumepool/snapshots.html",
        context,
        panels={"snapshots": "volumepool/snapshot_table.html"},
    )


@row_form_page(
    RowForm(
        "volumepool/copy_form.html",
        SNAPSHOTS,
        Role.ADMIN,
        "volume-snapshot-page",
        ("name", "size_gb"),
        initial=lambda snapshot: {"name": snapshot.name, "size_gb": snapshot.size_gb},
    )
)
def copy_snapshot_page(request: PageRequest, scope: Scope, row: VolumeSnapshot) -> Outcome:
    """Create a volume from a snapshot, for the snapshot's information system."""
    data = {
        **filled_fields(request.POST, "name", "size_gb"),
        "information_system": str(row.information_system_id),
        "snapshot": str(row.pk),
    }
    params = validate_form(NewVolumesSerializer(data=data))
    create_volumes(scope=scope, request=VolumeCreationRequest(**params))
    values = {"name": params.get("name") or row.name, "snapshot": row.name}
    return _("Creating volume %(name)s from snapshot %(snapshot)s.") % values, "volume-page"


@row_form_page(
    RowForm("volumepool/remove_snapshot_form.html", SNAPSHOTS, Role.OPERATOR, "volume-snapshot-page")
)
def remove_volume_snapshot_page(request: PageRequest, scope: Scope, row: VolumeSnapshot) -> Outcome:
    """Delete a snapshot, once its name was typed."""
    require_typed_name(request, row.name)
    remove_snapshot(scope=scope, snapshot_id=row.pk)
    return _("Deleting snapshot %(name)s.") % {"name": row.name}, ""
