"""The form for new volumes: of a type that has a pool, or blank, in a cloud account and a region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from api.domain_errors import DomainError, InvalidFieldsError, NotFoundError
from api.errors import status_of
from api.form_errors import filled_fields, validate_form
from cloudaccounts.models import CloudAccount
from cloudaccounts.placements import list_known_regions
from cloudaccounts.services.catalogue import list_granted
from pages.key_values import parse_key_values
from tenants.models import InformationSystem
from tenants.page_forms import split_errors
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope

from ..models import Volume
from ..serializers import NewVolumesSerializer
from ..services import ClaimRequest, VolumeCreationRequest, claim_volumes, create_volumes, list_volume_options

# The fields of the form, with their initial values.
INITIAL_VALUES = {
    "information_system": "",
    "name": "",
    "count": "1",
    "type": "",
    "size_gb": "",
    "account": "",
    "region": "",
    "volume_type": "",
    "tags": "",
}
# A type of the pools has its own account, region, size and Cinder type; what the form's selections send is left out.
PLACE_FIELDS = ("account", "region", "volume_type")
MAX_TYPED_LENGTH = 200
# Fifty tags of the greatest length.
MAX_TAGS_LENGTH = 20_000


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def new_volumes_page(request: PageRequest) -> HttpResponse:
    """Show the form; on POST, create the volumes, or show the form again with every error.

    A GET with values shows the form with them: the page's script asks so for the regions of another account.
    """
    scope = page_scope(request)
    scope.require(Role.ADMIN, Volume)
    if request.method == "GET":
        return _render(request, scope, {**INITIAL_VALUES, **filled_fields(request.GET, *INITIAL_VALUES)})
    fields = filled_fields(request.POST, *INITIAL_VALUES)
    if "type" in fields:
        fields = {name: value for name, value in fields.items() if name not in PLACE_FIELDS}
    try:
        tags, errors = parse_key_values(request.POST.get("tags", ""))
        if errors:
            raise InvalidFieldsError({"tags": errors})
        fields.pop("tags", None)
        params = validate_form(NewVolumesSerializer(data=fields | ({"tags": tags} if tags else {})))
        if "type" in params:
            result = claim_volumes(scope=scope, request=ClaimRequest(**params))
        else:
            result = create_volumes(scope=scope, request=VolumeCreationRequest(**params))
    except NotFoundError:
        raise
    except DomainError as refused:
        entered = {name: request.POST.get(name, "") for name in INITIAL_VALUES}
        return _render(request, scope, entered, refused)
    if result.job is None:
        messages.success(request, _("Volumes are ready: %(count)s.") % {"count": len(result.volumes)})
    else:
        messages.success(request, _("Volumes being created: %(count)s.") % {"count": len(result.volumes)})
    return redirect("volume-page")


def _render(
    request: PageRequest, scope: Scope, entered: Mapping[str, str], refused: DomainError | None = None
) -> HttpResponse:
    entered = {
        name: value[: MAX_TAGS_LENGTH if name == "tags" else MAX_TYPED_LENGTH].replace("\x00", "")
        for name, value in entered.items()
    }
    systems = list(
        InformationSystem.objects.within(scope).select_related("tenant").order_by("tenant__name", "name")
    )
    system = next((one for one in systems if str(one.pk) == entered["information_system"]), None)
    system = system or (systems[0] if systems else None)
    accounts = _list_accounts(system)
    account = _choose_account(accounts, entered["account"], system)
    regions = list_known_regions(account.pk) if account else []
    options = list_volume_options(scope=scope)
    context = {
        "scope": scope,
        "systems": systems,
        "types": options,
        "accounts": accounts,
        "account": account,
        "regions": regions,
        "region": entered["region"] if entered["region"] in regions else next(iter(regions), ""),
        "volume_types": _list_volume_types(system, account, regions),
        "entered": entered,
        **split_errors(refused, tuple(INITIAL_VALUES)),
    }
    # With one account there is no field for it; what is wrong with it is said above the form.
    for name, choices in (("account", accounts), ("region", regions)):
        if len(choices) < 2:
            context["refused"] = [*context["refused"], *context["errors"].pop(name, [])]
    return render(request, "volumepool/new.html", context, status=status_of(refused) if refused else 200)


def _list_accounts(system: InformationSystem | None) -> list[CloudAccount]:
    """Return the accounts that the tenant of a system may create volumes in."""
    if system is None:
        return []
    return list(CloudAccount.objects.for_tenant(system.tenant).usable().order_by("name"))


def _choose_account(
    accounts: Sequence[CloudAccount], entered: str, system: InformationSystem | None
) -> CloudAccount | None:
    """Return the account that was selected, else the system's default, else the first one."""
    wanted = [entered, str(system.default_account_id) if system else ""]
    found = [account for key in wanted for account in accounts if str(account.pk) == key]
    return next(iter([*found, *accounts]), None)


def _list_volume_types(
    system: InformationSystem | None, account: CloudAccount | None, regions: Sequence[str]
) -> list[Any]:
    if system is None or account is None or not regions:
        return []
    granted = list_granted(system.tenant, account).filter(type="volume_type")
    return list(granted.order_by("name").values_list("name", flat=True).distinct())
