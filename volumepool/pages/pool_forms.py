"""The pages that create, change and delete a pool, for staff with the permissions that the admin requires."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy
from django.views.decorators.http import require_http_methods

from api.domain_errors import ConflictError, DomainError, NotFoundError, OutdatedError
from api.errors import status_of
from pages.dialogs import render_dialog
from tenants.page_forms import read_version, require_typed_name, split_errors
from tenants.scoped_pages import PageRequest, page_scope

from ..forms import VolumePoolForm
from ..models import SpareVolume, VolumePool
from ..services.pools import change_pool, create_pool, explain_spares, remove_pool
from .pools import POOLS, require_permission

GROUPS: Sequence[tuple[Any, Sequence[str]]] = (
    (gettext_lazy("General"), ("type", "account", "region", "enabled")),
    (gettext_lazy("Volumes"), ("size_gb", "volume_type", "availability_zone")),
    (gettext_lazy("Source"), ("image_id", "snapshot_id", "snapshot_prefix")),
    (gettext_lazy("Stock"), ("desired", "max_in_flight", "max_age_days")),
)
LABELS = {"size_gb": pgettext_lazy("volume", "Size"), "max_age_days": gettext_lazy("Max. age")}
UNITS = {"size_gb": "GiB", "max_age_days": gettext_lazy("days")}


class PoolPageForm(VolumePoolForm):
    """The form of a pool, with its hints and errors tied to their fields."""

    class Meta:
        model = VolumePool
        fields = [name for _label, names in GROUPS for name in names]

    def list_groups(self) -> list[dict[str, Any]]:
        """Return the groups of fields with what the page shows of each."""
        return [
            {"label": label, "fields": [self._describe(name) for name in names]} for label, names in GROUPS
        ]

    def _describe(self, name: str) -> dict[str, Any]:
        field = self[name]
        errors = [str(error) for error in field.errors]
        described = [f"{field.id_for_label}-hint"] if field.help_text else []
        if errors:
            described.append(f"{field.id_for_label}-error")
        attributes: dict[str, str | bool] = {"aria-describedby": " ".join(described)} if described else {}
        return {
            "id": field.id_for_label,
            "label": capfirst(str(LABELS.get(name, field.label))),
            "hint": field.help_text,
            "unit": UNITS.get(name, ""),
            "errors": errors,
            "required": field.field.required,
            "is_check": name == "enabled",
            "control": field.as_widget(attrs=attributes),
        }


@require_permission("add")
@require_http_methods(["GET", "POST"])
def new_pool_page(request: PageRequest) -> HttpResponse:
    """Show the form; on POST, create the pool."""
    if request.method == "GET":
        return _render(request, PoolPageForm(initial={"desired": 1}))
    form = PoolPageForm(request.POST)
    if not form.is_valid():
        return _render(request, form, status=400)
    pool = create_pool(pool=form.save(commit=False))
    messages.success(
        request, _("Pool %(name)s was created. Missing spares will be created.") % {"name": pool.type}
    )
    return redirect("pool-detail-page", pool.pk)


@require_permission("change")
@require_http_methods(["GET", "POST"])
def edit_pool_page(request: PageRequest, pk: int) -> HttpResponse:
    """Show the form with the pool's values; on POST, save them, unless somebody else has changed the pool since."""
    pool = get_object_or_404(POOLS, pk=pk)
    version = pool.version
    if request.method == "GET":
        return _render(request, PoolPageForm(instance=pool), pool=pool, version=version)
    form = PoolPageForm(request.POST, instance=pool)
    if not form.is_valid():
        return _render(request, form, pool=pool, version=request.POST.get("version", ""), status=400)
    try:
        change_pool(pool=form.save(commit=False), if_match=read_version(request))
    except NotFoundError:
        raise
    except OutdatedError as refused:
        # The form then has the present version, so sending it again overwrites the other changes knowingly.
        form.add_error(
            None, _("Someone else changed this pool. Your values are kept; save them again to overwrite.")
        )
        return _render(request, form, pool=pool, version=version, status=status_of(refused))
    messages.success(request, _("Changes saved."))
    return redirect("pool-detail-page", pk)


@require_permission("delete")
@require_http_methods(["GET", "POST"])
def remove_pool_page(request: PageRequest, pk: int) -> HttpResponse:
    """Ask whether the pool is to be deleted; on POST, delete it, once its name was typed."""
    pool = get_object_or_404(POOLS, pk=pk)
    refused: DomainError | None = None
    if request.method == "POST":
        try:
            require_typed_name(request, pool.type)
            remove_pool(pool_id=pk, if_match=read_version(request))
        except NotFoundError:
            raise
        except DomainError as error:
            refused = error
        else:
            messages.success(request, _("Pool %(name)s was deleted.") % {"name": pool.type})
            return redirect("pool-page")
    spares = SpareVolume.objects.filter(pool=pool).count()
    context = {
        "scope": page_scope(request),
        "pool": pool,
        "title": str(pool),
        "blocked": explain_spares(spares) if spares else "",
        "list_page": reverse("pool-detail-page", args=[pk]),
        **split_errors(refused, ("confirm_name",)),
    }
    if isinstance(refused, ConflictError):
        context["refused"] = []
    return render_dialog(
        request, "volumepool/remove_pool_form.html", context, status=status_of(refused) if refused else 200
    )


def _render(
    request: PageRequest,
    form: PoolPageForm,
    *,
    pool: VolumePool | None = None,
    version: object = "",
    status: int = 200,
) -> HttpResponse:
    context = {
        "scope": page_scope(request),
        "pool": pool,
        "version": version,
        "field_groups": form.list_groups(),
        "refused": [str(error) for error in form.non_field_errors()],
        "action": reverse("pool-edit", args=[pool.pk]) if pool else reverse("pool-new"),
        "way_back": reverse("pool-detail-page", args=[pool.pk]) if pool else reverse("pool-page"),
    }
    return render(request, "volumepool/pool_form.html", context, status=status)
