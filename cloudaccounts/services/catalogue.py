"""The catalog of a tenant: what it may use in an account, and the grants that decide it in shared ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from api.domain_errors import ConflictError, InvalidFieldsError, NotFoundError
from tenants.models import Tenant, User

from ..models import SERVER_GROUP_POLICIES, CatalogueGrant, CatalogueKind, CloudAccount, CloudResource
from ..models.catalogue_grants import TAG_PREFIX
from ..models.resources import CloudResourceQuerySet
from ..placements import Errors

# What a new shared account usually offers to everybody. Networks are not among them: they lead into somebody's systems.
COMMON_KINDS = (
    CatalogueKind.FLAVOR,
    CatalogueKind.IMAGE,
    CatalogueKind.VOLUME_TYPE,
    CatalogueKind.ZONE,
)
MAX_NAMED = 20


@dataclass(frozen=True, slots=True)
class GrantRequest:
    """A request for a grant: to a tenant, or to all of them (None), of one object or of all that match."""

    tenant: Tenant | None
    account: CloudAccount
    kind: str
    cloud_id: str = ""
    match: str = ""
    note: str = ""


def list_granted(
    tenant: Tenant, account: CloudAccount, *, region: str | None = None, own: Q | None = None
) -> CloudResourceQuerySet:
    """Return the resources of an account from which new VMs and volumes of a tenant may be made; of one region, if given.

    This is the one place that decides it, for options, creation, resize, attachment and rebuild. `own` adds what the tenant
    may use without a grant because it has made it. A resource that the last listing did not show may still exist, but
    nothing new is to use it.
    """
    resources = CloudResource.objects.present().filter(missing_count=0, account=account)
    if region is not None:
        resources = resources.filter(region=region)
    granted: CloudResourceQuerySet = resources.granted_to(tenant, own=own or Q())
    return granted


def list_granted_policies(tenant: Tenant, account: CloudAccount) -> list[str]:
    """Return the policies of server groups that a tenant may use in an account."""
    if account.tenant_id is not None:
        return list(SERVER_GROUP_POLICIES) if account.tenant_id == tenant.pk else []
    grants = CatalogueGrant.objects.for_tenant(tenant).filter(
        account=account, kind=CatalogueKind.SERVER_GROUP_POLICY
    )
    granted = set(grants.values_list("cloud_id", flat=True))
    return [policy for policy in SERVER_GROUP_POLICIES if policy in granted]


def create_grant(*, request: GrantRequest, user: User) -> CatalogueGrant:
    """Create a grant. Raises 400 `invalid`, by field, and 409 `already_granted`."""
    if problems := validate_grant(request):
        raise InvalidFieldsError(problems)
    grant = CatalogueGrant(
        tenant=request.tenant,
        account=request.account,
        kind=request.kind,
        cloud_id=request.cloud_id,
        match=request.match,
        note=request.note,
        created_by=user,
    )
    try:
        with transaction.atomic():
            grant.save(force_insert=True)
    except IntegrityError as error:
        raise ConflictError("already_granted", str(_("This was granted already."))) from error
    return grant


def grant_common_kinds(*, account: CloudAccount, user: User | None) -> int:
    """Grant all flavors, images, volume types and zones of a shared account to every tenant; return how many grants are new.

    Safe to repeat and beside other grants: what was granted already is left as it is.
    """
    granted = 0
    for kind in COMMON_KINDS:
        columns = {"tenant": None, "account": account, "kind": kind, "cloud_id": "", "match": "*"}
        _grant, created = CatalogueGrant.objects.get_or_create(**columns, defaults={"created_by": user})
        granted += created
    return granted


def remove_grant(*, grant_id: int) -> None:
    """Take a grant back. What exists stays as it is. Raises `NotFoundError`."""
    deleted, _by_model = CatalogueGrant.objects.filter(pk=grant_id).delete()
    if not deleted:
        raise NotFoundError


def validate_grant(request: GrantRequest) -> Errors:
    """Return the errors of a grant by field: a wrong account, an object that the account does not have, or a wrong match."""
    account = request.account
    if account.tenant_id is not None:
        message = _("The cloud account '%(name)s' belongs to a tenant, which may use all of it.")
        return {"account": [message % {"name": account.name}]}
    if bool(request.cloud_id) == bool(request.match):
        return {"object": [_("Enter either an object or a match.")]}
    if request.match:
        return _validate_match(request)
    known = list_grantable(account, request.kind)
    if request.cloud_id not in {cloud_id for cloud_id, _name in known}:
        message = _("'%(id)s' was not found in the cloud account. Available: %(known)s.")
        return {"object": [message % {"id": request.cloud_id, "known": _describe_objects(known)}]}
    return {}


def _validate_match(request: GrantRequest) -> Errors:
    if request.kind == CatalogueKind.SERVER_GROUP_POLICY:
        message = _("A policy is granted by its name, as the object: %(known)s.")
        return {"object": [message % {"known": ", ".join(SERVER_GROUP_POLICIES)}]}
    if request.match.strip() != request.match or request.match == TAG_PREFIX:
        return {"match": [_("Enter a pattern such as web-*, or tag: and a tag.")]}
    return {}


def list_grantable(account: CloudAccount, kind: str) -> Sequence[tuple[str, str]]:
    """Return what can be granted of a kind in an account, as ids and names."""
    if kind == CatalogueKind.SERVER_GROUP_POLICY:
        return [(policy, policy) for policy in SERVER_GROUP_POLICIES]
    resources = CloudResource.objects.present().filter(account=account)
    if kind in {CatalogueKind.NETWORK, CatalogueKind.EXTERNAL_NETWORK}:
        is_external = kind == CatalogueKind.EXTERNAL_NETWORK
        resources = resources.filter(type="network", attributes__is_external=is_external)
    elif kind == CatalogueKind.IMAGE:
        resources = resources.filter(type=kind).exclude(attributes__contains={"is_snapshot": True})
    else:
        resources = resources.filter(type=kind)
    names = dict(resources.order_by("name", "cloud_id").values_list("cloud_id", "name"))
    return [(cloud_id, name or cloud_id) for cloud_id, name in names.items()]


def find_object_names(grants: Iterable[CatalogueGrant]) -> dict[tuple[int, str], str]:
    """Return the names of the objects that grants name by id, by account and id: one query."""
    wanted = [(grant.account_id, grant.cloud_id) for grant in grants if grant.cloud_id]
    if not wanted:
        return {}
    found = (
        CloudResource.objects.present()
        .filter(
            account__in={account for account, _id in wanted},
            cloud_id__in={cloud_id for _account, cloud_id in wanted},
        )
        .values_list("account", "cloud_id", "name")
    )
    return {(account, cloud_id): name for account, cloud_id, name in found}


def _describe_objects(known: Sequence[tuple[str, str]]) -> str:
    shown = [name if name == cloud_id else f"{name} ({cloud_id})" for cloud_id, name in known[:MAX_NAMED]]
    return ", ".join([*shown, "…"] if len(known) > MAX_NAMED else shown) or "-"
