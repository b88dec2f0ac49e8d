"""What can be synced: providers, and for each of their types the syncer that lists it.

A provider says how to get at an account's regions, and what may go wrong there in words for people.
A syncer is one small class, which turns the listing of one type into `ListedResource`s; what its `attributes` hold is said there,
and nowhere else. Registering is all that either needs: rows, logs, changes, links, REST and pages follow.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, TypeVar

from django.utils import translation
from django.utils.functional import Promise

from .models import CloudAccount, ResourceType


@dataclass(frozen=True, slots=True)
class Link:
    """That an object refers to another of the same account and region, by that one's id in the cloud."""

    type: str
    cloud_id: str


@dataclass(frozen=True, slots=True)
class ListedResource:
    """One object of a listing, as a resource row shows it. `attributes` holds JSON values."""

    cloud_id: str
    name: str
    status: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)
    addresses: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """One that was kept as JSON (`dataclasses.asdict`) between two steps of a job."""
        links = tuple(Link(**link) for link in values.get("links", ()))
        return cls(**{**values, "addresses": tuple(values.get("addresses", ())), "links": links})


@dataclass(frozen=True, slots=True)
class UnreadableResource:
    """An object of a listing of which nothing could be made: its id in the cloud, or "", what it is called, and why."""

    cloud_id: str
    name: str
    reason: str

    def __str__(self) -> str:
        """For people."""
        called = " ".join(filter(None, (self.cloud_id[:80], f'"{self.name[:80]}"' if self.name else "")))
        return f"{called}: {self.reason}" if called else self.reason


class ListedPage(list[ListedResource]):
    """A page of findings, and what of the page could not be read: that never keeps the others from being synced."""

    def __init__(
        self, found: Iterable[ListedResource] = (), unreadable: Iterable[UnreadableResource] = ()
    ) -> None:
        super().__init__(found)
        self.unreadable = list(unreadable)


def build_page(
    records: Iterable[Any],
    found_of: Callable[[Any], ListedResource | None],
    unreadable: Iterable[UnreadableResource] = (),
) -> ListedPage:
    """Make findings of a page's records, one by one. Those of which `found_of` makes None are left out on purpose."""
    page = ListedPage((), unreadable)
    for record in records:
        try:
            found = found_of(record)
        except Exception as error:  # noqa: BLE001 - whatever one object does to us, the others are synced.
            cloud_id, name = getattr(record, "id", ""), getattr(record, "name", "")
            page.unreadable.append(
                UnreadableResource(str(cloud_id), str(name), f"{type(error).__name__}: {error}")
            )
        else:
            if found is not None:
                page.append(found)
    return page


class Provider(ABC):
    """A kind of cloud. `errors` are what may go wrong there; their text is shown to people as it is."""

    code: ClassVar[str]
    label: ClassVar[str | Promise]
    errors: ClassVar[tuple[type[Exception], ...]] = ()

    @abstractmethod
    def regions(self, account: CloudAccount) -> list[str]:
        """The regions to look into: those that the account names, or all that there are. Raises one of `errors`."""

    @abstractmethod
    def open(self, account: CloudAccount, region: str) -> Any:
        """What the syncers of this provider list with. Raises one of `errors`."""

    def clock_offset(self, client: Any) -> float | None:
        """How many seconds the cloud's clock is ahead of the portal's (negative: behind); None when it does not say."""
        return None

    @abstractmethod
    def check(self, account: CloudAccount) -> dict[str, Any]:
        """Log in and look around; what was found, as JSON values. Raises one of `errors`."""


class Syncer(ABC):
    """How one type of one provider is listed."""

    provider: ClassVar[str]
    type: ClassVar[str]
    label: ClassVar[str | Promise]
    # Types are synced in this order: what others refer to comes first.
    order: ClassVar[int]
    # After how many complete listings in a row without it an object counts as gone.
    expires_after: ClassVar[int] = 2
    # See `ResourceType.catalogue`.
    catalogue: ClassVar[bool] = False

    @abstractmethod
    def pages(self, client: Any) -> Iterator[list[ListedResource]]:
        """All that there is of the type in one region, page by page. Raises one of the provider's `errors`.

        A `ListedPage` says what of it could not be read.
        """


class UnknownProviderError(LookupError):
    """An account names a provider that nothing has registered."""


_providers: dict[str, Provider] = {}
_syncers: dict[tuple[str, str], Syncer] = {}
SomeProvider = TypeVar("SomeProvider", bound=type[Provider])
SomeSyncer = TypeVar("SomeSyncer", bound=type[Syncer])


def register_provider(provider: SomeProvider) -> SomeProvider:
    """Make a provider known by its code, which accounts store."""
    known = _providers.setdefault(provider.code, provider())
    if type(known) is not provider:
        raise ValueError(f"Two providers are registered as '{provider.code}'.")
    return provider


def register_syncer(syncer: SomeSyncer) -> SomeSyncer:
    """Make a syncer known by its provider and type, which rows store."""
    known = _syncers.setdefault((syncer.provider, syncer.type), syncer())
    if type(known) is not syncer:
        raise ValueError(f"Two syncers are registered for '{syncer.type}' of '{syncer.provider}'.")
    return syncer


def providers() -> list[Provider]:
    """Every provider, by code."""
    return [_providers[code] for code in sorted(_providers)]


def get_provider(account: CloudAccount) -> Provider:
    """The provider of an account. Raises `UnknownProviderError`."""
    try:
        return _providers[account.provider]
    except KeyError:
        raise UnknownProviderError(account.provider) from None


def list_syncers(provider: str) -> list[Syncer]:
    """The syncers of a provider, in the order in which they run."""
    own = [syncer for (code, _type), syncer in _syncers.items() if code == provider]
    return sorted(own, key=lambda syncer: (syncer.order, syncer.type))


def find_syncer(provider: str, type_code: str) -> Syncer | None:
    """The syncer of a type; None when there is none."""
    return _syncers.get((provider, type_code))


def type_label(provider: str, type_code: str) -> str:
    """What people call a type, in their language; its code when nobody has registered it."""
    syncer = find_syncer(provider, type_code)
    return str(syncer.label) if syncer else type_code


def write_resource_types(**_signal: Any) -> None:
    """Write the row of each registered type that has none, and bring order and kind up to date. Run at each deploy.

    Rows of types that nobody registers any more stay: resources and logs are of them.
    """
    ResourceType.objects.bulk_create(
        [
            ResourceType(
                provider=syncer.provider,
                code=syncer.type,
                # In English, whoever deploys; readers get `type_label`.
                name=_english(syncer.label),
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
    """The types that are synced of an account, in their order: those chosen, or all that its provider can."""
    chosen = list(account.resource_types.order_by("order", "code").values_list("code", flat=True))
    return chosen or [syncer.type for syncer in list_syncers(account.provider)]


def _english(text: str | Promise) -> str:
    with translation.override("en"):
        return str(text)
