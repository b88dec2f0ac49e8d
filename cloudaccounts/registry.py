"""The registry of providers, and of the syncer of each of their resource types.

A provider opens an account's regions and names the errors that may occur there.
A syncer is one small class, which converts the listing of one type to `ListedResource`s; its docstring is the only
description of their `attributes`. Once it is registered, rows, logs, changes, links, API and pages work with the type.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from importlib.util import find_spec
from typing import Any, ClassVar, Self, TypeVar

from django.utils import translation
from django.utils.functional import Promise

from .models import CloudAccount, ResourceType


@dataclass(frozen=True, slots=True)
class Link:
    """A reference to another object of the same account and region, by its id in the cloud."""

    type: str
    cloud_id: str


@dataclass(frozen=True, slots=True)
class ListedResource:
    """One object of a listing, with the columns of a resource row. `attributes` holds JSON values."""

    cloud_id: str
    name: str
    status: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)
    addresses: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Restore an object that a job has kept as JSON (`dataclasses.asdict`) between two steps."""
        links = tuple(Link(**link) for link in values.get("links", ()))
        return cls(**{**values, "addresses": tuple(values.get("addresses", ())), "links": links})


@dataclass(frozen=True, slots=True)
class UnreadableResource:
    """An object of a listing that could not be read: its id in the cloud, or "", its name, and the reason."""

    cloud_id: str
    name: str
    reason: str

    def __str__(self) -> str:
        """Return the object and the reason, for messages."""
        identity = " ".join(filter(None, (self.cloud_id[:80], f'"{self.name[:80]}"' if self.name else "")))
        return f"{identity}: {self.reason}" if identity else self.reason


class ListedPage(list[ListedResource]):
    """A page of resources, and the objects of the page that could not be read; these never block the others."""

    def __init__(
        self, found: Iterable[ListedResource] = (), unreadable: Iterable[UnreadableResource] = ()
    ) -> None:
        super().__init__(found)
        self.unreadable = list(unreadable)


def build_page(
    records: Iterable[Any],
    convert: Callable[[Any], ListedResource | None],
    unreadable: Iterable[UnreadableResource] = (),
) -> ListedPage:
    """Convert a page's records one by one. A record that `convert` turns into None is left out on purpose."""
    page = ListedPage((), unreadable)
    for record in records:
        try:
            found = convert(record)
        except Exception as error:  # noqa: BLE001 - one bad object must not block the others.
            cloud_id, name = getattr(record, "id", ""), getattr(record, "name", "")
            page.unreadable.append(
                UnreadableResource(str(cloud_id), str(name), f"{type(error).__name__}: {error}")
            )
        else:
            if found is not None:
                page.append(found)
    return page


@dataclass(frozen=True, slots=True)
class CredentialField:
    """A field of a vendor's form: what the portal logs in with. A secret is stored encrypted, and never shown again."""

    name: str
    label: str | Promise
    hint: str | Promise = ""
    is_secret: bool = False
    required: bool = True
    max_length: int = 255
    # What the value must match as a whole; "" for anything printable.
    pattern: str = ""


@dataclass(frozen=True, slots=True)
class CloudAction:
    """Something that was done with an object in the cloud: the cloud's own word for it, its user, and when it began."""

    action: str
    user: str
    began: datetime


class Provider(ABC):
    """A type of cloud. `errors` are the exceptions that it raises; their text is shown to people as it is."""

    code: ClassVar[str]
    label: ClassVar[str | Promise]
    # The form of its accounts.
    fields: ClassVar[tuple[CredentialField, ...]] = ()
    # Whether `fields` is all that its accounts have; those of OpenStack have columns of their own.
    has_own_form: ClassVar[bool] = False
    # The field that identifies the account at the vendor, and is shown: an access key, a user.
    identity: ClassVar[str] = ""
    # Whether an account may name an endpoint of its own.
    takes_endpoint: ClassVar[bool] = False
    # The package that has to be installed for it, and the file of requirements that has it.
    package: ClassVar[str] = ""
    requirements: ClassVar[str] = ""
    errors: ClassVar[tuple[type[Exception], ...]] = ()
    # Those of them that mean that the cloud refuses the credentials.
    sign_in_errors: ClassVar[tuple[type[Exception], ...]] = ()
    # Those that verifying an account needs.
    permissions: ClassVar[tuple[str, ...]] = ()

    def is_installed(self) -> bool:
        """Return whether the vendor's SDK is installed. It is not imported for that."""
        return not self.package or find_spec(self.package) is not None

    def list_permissions(self) -> list[str]:
        """List the permissions that its syncs and its verification need, in the vendor's own words."""
        needed = {permission for syncer in list_syncers(self.code) for permission in syncer.permissions}
        return sorted(needed | set(self.permissions))

    def build_policy(self) -> str:
        """Return the least policy for the vendor's console, to be pasted there; "" where there is none."""
        return ""

    @abstractmethod
    def list_regions(self, account: CloudAccount) -> list[str]:
        """List the regions to sync: those that the account names, or all of the catalog. Raises one of `errors`."""

    @abstractmethod
    def open_client(self, account: CloudAccount, region: str) -> Any:
        """Open the client that the syncers of this provider list with. Raises one of `errors`."""

    def read_clock_offset(self, client: Any) -> float | None:
        """Return how many seconds the cloud's clock is ahead of the portal's (negative: behind); None when unknown."""
        return None

    def list_actions(self, client: Any, type_code: str, cloud_id: str) -> list[CloudAction] | None:
        """List what was done with an object in the cloud, newest first; None for a type of which the cloud keeps no record.

        Raises one of `errors`.
        """
        return None

    @abstractmethod
    def verify(self, account: CloudAccount) -> dict[str, Any]:
        """Log in and read regions and services; return these facts as JSON values. Raises one of `errors`."""


class Syncer(ABC):
    """Lists one resource type of one provider."""

    provider: ClassVar[str]
    type: ClassVar[str]
    label: ClassVar[str | Promise]
    # Types are synced in this order: the targets of links come first.
    order: ClassVar[int]
    # An object expires after this number of consecutive complete listings without it.
    expires_after: ClassVar[int] = 2
    # See `ResourceType.catalogue`.
    catalogue: ClassVar[bool] = False
    # False for a type that a vendor has once for all regions; its resources then have the region "".
    is_regional: ClassVar[bool] = True
    # The permissions that its listing needs, in the vendor's own words.
    permissions: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def list_pages(self, client: Any) -> Iterator[list[ListedResource]]:
        """Yield all objects of the type in one region, page by page. Raises one of the provider's `errors`.

        A `ListedPage` also holds the objects that could not be read.
        """


class UnknownProviderError(LookupError):
    """An account names a provider that is not registered."""


_providers: dict[str, Provider] = {}
_syncers: dict[tuple[str, str], Syncer] = {}
SomeProvider = TypeVar("SomeProvider", bound=type[Provider])
SomeSyncer = TypeVar("SomeSyncer", bound=type[Syncer])


def register_provider(provider: SomeProvider) -> SomeProvider:
    """Register a provider by its code, which accounts store."""
    known = _providers.setdefault(provider.code, provider())
    if type(known) is not provider:
        raise ValueError(f"Two providers are registered as '{provider.code}'.")
    return provider


def register_syncer(syncer: SomeSyncer) -> SomeSyncer:
    """Register a syncer by its provider and type, which rows store."""
    known = _syncers.setdefault((syncer.provider, syncer.type), syncer())
    if type(known) is not syncer:
        raise ValueError(f"Two syncers are registered for '{syncer.type}' of '{syncer.provider}'.")
    return syncer


def list_providers() -> list[Provider]:
    """Return every provider, ordered by code."""
    return [_providers[code] for code in sorted(_providers)]


def get_provider(account: CloudAccount) -> Provider:
    """Return the provider of an account. Raises `UnknownProviderError`."""
    try:
        return _providers[account.provider]
    except KeyError:
        raise UnknownProviderError(account.provider) from None


def list_syncers(provider: str) -> list[Syncer]:
    """Return the syncers of a provider, in the order in which they run."""
    syncers = [syncer for (code, _type), syncer in _syncers.items() if code == provider]
    return sorted(syncers, key=lambda syncer: (syncer.order, syncer.type))


def find_provider(code: str) -> Provider | None:
    """Return the provider with a code; None without one."""
    return _providers.get(code)


def find_syncer(provider: str, type_code: str) -> Syncer | None:
    """Return the syncer of a type; None without one."""
    return _syncers.get((provider, type_code))


def type_label(provider: str, type_code: str) -> str:
    """Return the label of a type in the reader's language; its code when it is not registered."""
    syncer = find_syncer(provider, type_code)
    return str(syncer.label) if syncer else type_code


def write_resource_types(**_signal: Any) -> None:
    """Write the rows of the registered types, with their order and kind. Run after each migration.

    Rows of types that are not registered any more stay, because resources and logs refer to them.
    """
    ResourceType.objects.bulk_create(
        [
            ResourceType(
                provider=syncer.provider,
                code=syncer.type,
                # In English, whatever the deployer's language; readers get `type_label`.
                name=_to_english(syncer.label),
                order=syncer.order,
                catalogue=syncer.catalogue,
            )
            for syncer in _syncers.values()
        ],
        update_conflicts=True,
        unique_fields=["provider", "code"],
        update_fields=["name", "order", "catalogue"],
    )


def list_synced_types(account: CloudAccount) -> list[str]:
    """List the types that are synced of an account, in their order: those selected, or all of its provider."""
    chosen = list(account.resource_types.order_by("order", "code").values_list("code", flat=True))
    return chosen or [syncer.type for syncer in list_syncers(account.provider)]


def _to_english(text: str | Promise) -> str:
    with translation.override("en"):
        return str(text)
