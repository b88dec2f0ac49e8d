"""What the providers and syncers of all vendors besides OpenStack share.

The portal only lists what such an account has. A vendor's own SDK signs the requests and reads the answers; it is an extra
(`requirements-<vendor>.txt`) that is imported when the first account is opened.
"""

from __future__ import annotations

import hashlib
import json
import threading
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, ClassVar, Generic, Protocol, TypeVar
from urllib.parse import urlsplit

from api.messages import message as _
from openstack_client import CloudAuthenticationError, CloudError, InvalidCloudRequestError
from openstack_client.decoding import clean_text
from security.encryption import UnreadableSecretError

from ..models import CloudAccount
from ..registry import ListedPage, ListedResource, Provider, Syncer, UnreadableResource

# An account of all regions of a large vendor has some thirty.
MAX_OPEN_REGIONS = 64
# The most characters of a vendor's words that are kept.
MAX_WORDS = 500
# Shorter secrets would also be replaced inside of ordinary words.
MIN_MASKED_LENGTH = 6


class RegionClient(Protocol):
    """One region of an account, opened with the vendor's SDK: the client of its syncers."""

    @property
    def is_outdated(self) -> bool:
        """Return whether its temporary credentials end soon, so that it has to be opened anew."""
        ...

    def sign_in(self) -> None:
        """Take the role that the account names, if it names one. Raises `CloudError`."""
        ...

    def clock_offset(self) -> float | None:
        """Return how many seconds the vendor's clock is ahead of the portal's; None without an answer yet."""
        ...


Client = TypeVar("Client", bound=RegionClient)


class OpenedRegions(Generic[Client]):
    """The regions of one vendor's accounts that this process has open.

    They are kept, because an SDK takes long to get ready, and its connections are used again; and opened anew when the
    account's credentials have changed. Beyond `MAX_OPEN_REGIONS`, the one that was used the longest time ago is dropped.
    Thread-safe; two threads that open the same region at once may both do so, and one of the two is kept.
    """

    def __init__(self, build: Callable[[CloudAccount, str], Client]) -> None:
        self._build = build
        self._opened: OrderedDict[tuple[int, str], tuple[str, Client]] = OrderedDict()
        self._guard = threading.Lock()

    def open(self, account: CloudAccount, region: str) -> Client:
        """Return a region, signed in. Raises `CloudError`, `UnreadableSecretError`."""
        if account.auth_url and urlsplit(account.auth_url).scheme not in {"http", "https"}:
            raise InvalidCloudRequestError(
                _("The endpoint is no http or https URL: %(url)s") % {"url": account.auth_url[:200]}
            )
        key, fingerprint = (account.pk, region), _compute_fingerprint(account)
        with self._guard:
            known, client = self._opened.get(key, ("", None))
            if client is not None and known == fingerprint and not client.is_outdated:
                self._opened.move_to_end(key)
                return client
        client = self._build(account, region)
        client.sign_in()
        with self._guard:
            self._opened[key] = (fingerprint, client)
            self._opened.move_to_end(key)
            while len(self._opened) > MAX_OPEN_REGIONS:
                self._opened.popitem(last=False)
        return client

    def clear(self) -> None:
        """Forget all of them."""
        with self._guard:
            self._opened.clear()

    def list_opened(self) -> list[Client]:
        """Return those that are open."""
        with self._guard:
            return [client for _fingerprint, client in self._opened.values()]


def _compute_fingerprint(account: CloudAccount) -> str:
    """Return a digest of everything that an account signs in with."""
    options = json.dumps(account.options, sort_keys=True)
    fields = (account.auth_url, account.access_id, account.encrypted_secret, options)
    return hashlib.sha256("\x00".join(fields).encode()).hexdigest()


class VendorProvider(Provider):
    """A vendor whose accounts have a form of its own, and an SDK that has to be installed."""

    has_own_form: ClassVar[bool] = True
    errors: ClassVar[tuple[type[Exception], ...]] = (CloudError, UnreadableSecretError)
    sign_in_errors: ClassVar[tuple[type[Exception], ...]] = (CloudAuthenticationError,)

    @abstractmethod
    def list_all_regions(self, account: CloudAccount) -> list[str]:
        """List the regions that the vendor has for the account. Raises `CloudError`."""

    def list_regions(self, account: CloudAccount) -> list[str]:
        """List the regions that the account names, or all that the vendor has for it."""
        return list(account.regions) or self.list_all_regions(account)

    def read_clock_offset(self, client: RegionClient) -> float | None:
        """Return the offset that the dates of the vendor's answers show."""
        return client.clock_offset()

    def require_known_regions(self, account: CloudAccount, known: list[str]) -> None:
        """Refuse a region of the account that the vendor does not have for it. Raises `InvalidCloudRequestError`."""
        unknown = [name for name in account.regions if name not in known]
        if unknown:
            sentence = _(
                "%(vendor)s has no region '%(unknown)s' for this account, or it is not enabled. It has: %(known)s."
            )
            values = {"vendor": str(self.label), "unknown": unknown[0], "known": ", ".join(known)}
            raise InvalidCloudRequestError(sentence % values)

    def describe_account(
        self, account: CloudAccount, regions: list[str], *, service: str, number: Any, arn: Any
    ) -> dict[str, Any]:
        """Return what a verification has found: the vendor's number of the account, who signed in, and the service of each region."""
        return {
            "project_id": str(number or "")[:50],
            "arn": str(arn or "")[:2048],
            "regions": {name: [service] for name in list(account.regions) or regions},
        }

    def require_sdk(self) -> None:
        """Refuse to go on without the vendor's SDK. Raises `InvalidCloudRequestError`, which says what to install."""
        if not self.is_installed():
            sentence = _("The SDK of %(vendor)s is not installed on the portal: pip install -r %(file)s")
            raise InvalidCloudRequestError(sentence % {"vendor": str(self.label), "file": self.requirements})


class VendorSyncer(Syncer):
    """Lists one resource type of a vendor, whose objects are dictionaries."""

    # The member of an object that has its id.
    id_member: ClassVar[str]

    def list_pages(self, client: Any) -> Iterator[list[ListedResource]]:
        """Yield the converted pages, each with its unreadable objects."""
        for page in self.list_objects(client):
            yield self._convert_page(page)

    @abstractmethod
    def list_objects(self, client: Any) -> Iterator[list[dict[str, Any]]]:
        """Yield the pages of objects as the vendor describes them. Raises `CloudError`."""

    @abstractmethod
    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert an object. What it lacks is left out; any exception makes the object an unreadable one."""

    def read_name(self, found: Mapping[str, Any]) -> str:
        """Return the name of an object that could not be converted, for messages."""
        return ""

    def _convert_page(self, page: Iterable[Any]) -> ListedPage:
        """Convert a page object by object, so that one odd object does not hide the others."""
        converted = ListedPage()
        for found in page:
            try:
                resource = self.convert(found)
                _check_texts(resource)
                if not resource.cloud_id:
                    raise ValueError(f"it has no {self.id_member}")
            except Exception as error:  # noqa: BLE001 - one bad object must not block the others.
                reason = f"{type(error).__name__}: {error}"
                known = found if isinstance(found, dict) else {}
                converted.unreadable.append(
                    UnreadableResource(str(known.get(self.id_member) or ""), self.read_name(known), reason)
                )
            else:
                converted.append(resource)
        return converted


def _check_texts(resource: ListedResource) -> None:
    """Refuse an object whose id, name, status or an address is no text: an SDK that reads JSON passes on whatever came. Raises `TypeError`."""
    for text in (resource.cloud_id, resource.name, resource.status, *resource.addresses):
        if not isinstance(text, str):
            raise TypeError(f"{text!r:.80} is no text")


def mask_secrets(text: str, secrets: Iterable[str]) -> str:
    """Return a vendor's words, bounded, with dots in place of each secret."""
    for secret in secrets:
        if len(secret) >= MIN_MASKED_LENGTH:
            text = text.replace(secret, "…")
    return clean_text(text, MAX_WORDS)


def read_region_names(names: Iterable[Any]) -> list[str]:
    """Return the names of a vendor's regions, sorted and bounded, without what is no text."""
    return sorted({name[:100] for name in names if isinstance(name, str) and name})


def format_time(moment: Any) -> str:
    """Return a time of an SDK as ISO text; "" for anything else."""
    return moment.isoformat() if isinstance(moment, datetime) else ""
