"""What every watcher of a cloud shares: which cloud a scope means, and what its errors mean to the poller."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from openstack_client import Cloud, CloudError, CloudUnavailable, NotFound
from security.encryption import UnreadableSecret
from tasks.polling import MISSING, LookFailed, Observation

from ..connect import open_cloud
from ..models import CloudAccount


class _Found(Protocol):
    @property
    def id(self) -> str: ...


FoundObject = TypeVar("FoundObject", bound=_Found)


class CloudWatcher(ABC, Generic[FoundObject]):
    """Looks at objects of one type for the engine's async tasks. A scope is `<account>/<region>`."""

    @abstractmethod
    def one(self, cloud: Cloud, object_id: str) -> FoundObject:
        """The object by a single get. Raises `CloudError`; `NotFound` for what is not there."""

    @abstractmethod
    def many(self, cloud: Cloud, since: datetime) -> Iterable[FoundObject]:
        """The objects of one listing; those that have not changed `since` may be left out."""

    @abstractmethod
    def seen(self, found: FoundObject) -> Observation:
        """What the task manager is told of an object."""

    def look_at_one(self, scope: str, object_id: str) -> Observation:
        """One object. Raises `LookFailed`."""
        try:
            return self.seen(self.one(_cloud(scope), object_id))
        except NotFound:
            return Observation(MISSING)
        except CloudError as error:
            raise _look_failed(error) from None

    def look_at_many(
        self, scope: str, object_ids: Sequence[str], since: datetime
    ) -> Mapping[str, Observation]:
        """Those of the objects that one listing shows. Raises `LookFailed`."""
        wanted = set(object_ids)
        try:
            listing = self.many(_cloud(scope), since)
            return {found.id: self.seen(found) for found in listing if found.id in wanted}
        except CloudError as error:
            raise _look_failed(error) from None


def _cloud(scope: str) -> Cloud:
    account_id, _slash, region = scope.partition("/")
    try:
        return open_cloud(CloudAccount.objects.get(pk=int(account_id)), region)
    except UnreadableSecret as error:
        raise LookFailed(str(error)) from None


def _look_failed(error: CloudError) -> LookFailed:
    return LookFailed(str(error), error.retry_after if isinstance(error, CloudUnavailable) else None)
