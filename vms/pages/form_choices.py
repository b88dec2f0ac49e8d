"""The choices of the forms for VMs, as `list_creation_options` returns them, arranged for the forms."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from api.domain_errors import ConflictError, InvalidFieldsError
from api.form_errors import error_texts
from cloudaccounts.models import CloudAccount, CloudResource
from tenants.models import InformationSystem
from tenants.scoping import Scope

from ..catalogue import os_names, os_version
from ..services import list_creation_options
from .sizes import Size, list_sizes


@dataclass(frozen=True, slots=True)
class Choices:
    """The choices for a new VM of a system. `missing` has, by field, what has to be selected first."""

    system: InformationSystem
    accounts: Sequence[CloudAccount]
    account: int | None
    regions: Sequence[str]
    region: str
    missing: Mapping[str, list[str]]
    sizes: Sequence[Size]
    # The one of `sizes` that was chosen.
    flavor: Size | None
    # Pairs of the form's value ("os:ubuntu|22.04", "image:<id>") and the label.
    systems_to_boot: Sequence[tuple[str, str]]
    snapshots: Sequence[tuple[str, str]]
    # The form's value of each image, by its id.
    boot_values: Mapping[str, str]
    networks: Sequence[CloudResource]
    default_network: str
    zones: Sequence[CloudResource]
    volume_types: Sequence[CloudResource] = field(default_factory=list)


def fetch_choices(scope: Scope, entered: Mapping[str, str], *, for_new: bool = True) -> Choices:
    """Return the choices for the system, account and region that were entered.

    An account or region that a newly selected system does not have is ignored. `for_new` is as in `list_creation_options`. Raises 409 `no_information_system`.
    """
    options = _fetch_options(scope, entered, for_new=for_new)
    if options["information_system"] is None:
        raise ConflictError("no_information_system", " ".join(error_texts([*options["missing"].values()])))
    system = (
        InformationSystem.objects.within(scope).select_related("tenant").get(pk=options["information_system"])
    )
    sizes = list_sizes(options["flavors"], boots_from_volume=bool(entered.get("boot_volume")))
    return Choices(
        system=system,
        accounts=options["accounts"],
        account=options["account"],
        regions=options["regions"],
        region=options["region"],
        missing={name: error_texts(error) for name, error in options["missing"].items()},
        sizes=sizes,
        flavor=next((size for size in sizes if size.id == entered.get("flavor")), None),
        systems_to_boot=_list_systems_to_boot(options["images"]),
        snapshots=[
            (f"image:{image.cloud_id}", image.name) for image in options["images"] if _is_snapshot(image)
        ],
        boot_values={image.cloud_id: _find_boot_value(image) for image in options["images"]},
        networks=options["networks"],
        default_network=options["default_network"],
        zones=options["zones"],
        volume_types=options["volume_types"],
    )


def _fetch_options(scope: Scope, entered: Mapping[str, str], *, for_new: bool) -> dict[str, Any]:
    system_id = _parse_uuid(entered.get("information_system", ""))
    account_id, region = _parse_key(entered.get("account", "")), entered.get("region", "")
    attempts: list[tuple[UUID | None, int | None, str]] = [
        (system_id, account_id, region),
        (system_id, account_id, ""),
        (system_id, None, ""),
    ]
    for tried_system, tried_account, tried_region in attempts:
        try:
            return list_creation_options(
                scope=scope,
                system_id=tried_system,
                account_id=tried_account,
                region=tried_region,
                for_new=for_new,
            )
        except InvalidFieldsError:
            continue
    return list_creation_options(scope=scope, system_id=None, account_id=None, region="", for_new=for_new)


def _list_systems_to_boot(images: Sequence[CloudResource]) -> list[tuple[str, str]]:
    """Return each operating system and version once, for its newest image; an image without a version by its id."""
    found: dict[str, str] = {}
    for image in images:  # The newest first.
        if _is_snapshot(image):
            continue
        value = _find_boot_value(image)
        if value.startswith("os:"):
            found.setdefault(value, f"{_find_os_name(image)} {os_version(image)} ({image.name})")
        else:
            found[value] = image.name
    return sorted(found.items(), key=lambda choice: choice[1].casefold())


def _find_boot_value(image: CloudResource) -> str:
    name, version = _find_os_name(image), os_version(image)
    if not _is_snapshot(image) and name.casefold() in os_names(image) and version:
        return f"os:{name}|{version}"
    return f"image:{image.cloud_id}"


def _find_os_name(image: CloudResource) -> str:
    distribution: str = image.attributes.get("os_distro") or ""
    return distribution or re.split(r"[\s_-]", image.name.strip(), maxsplit=1)[0]


def _is_snapshot(image: CloudResource) -> bool:
    return bool(image.attributes.get("is_snapshot"))


def _parse_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _parse_key(text: str) -> int | None:
    # The database would refuse a number with more digits, and the request would end with 500.
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) <= 18 else None
