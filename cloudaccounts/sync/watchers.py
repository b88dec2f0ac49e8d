"""What every watcher of a cloud shares: which cloud a scope means, and what its errors mean to the poller."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Generic, Protocol, TypeVar

import structlog

from openstack_client import (
    Cloud,
    CloudError,
    CloudUnavailable,
    InvalidRequest,
    NotFound,
    RecordPage,
    ServiceMissing,
    UnreadableObject,
)
from security.encryption import UnreadableSecretError
from tasks.polling import MISSING, Observation, PollError, UnreadableObjectError

from ..connect import open_cloud
from ..models import CloudAccount

log = structlog.get_logger(__name__)


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
    def many(self, cloud: Cloud, since: datetime) -> Iterable[RecordPage[FoundObject]]:
        """The pages of one listing; what has not changed `since` may be left out."""

    @abstractmethod
    def seen(self, found: FoundObject) -> Observation:
        """What the task manager is told of an object."""

    def poll_one(self, scope: str, object_id: str) -> Observation:
        """One object. Raises `PollError`, `UnreadableObjectError`."""
        try:
            return self.seen(self.one(_cloud(scope), object_id))
        except NotFound:
            return Observation(MISSING)
        except (UnreadableObject, InvalidRequest) as error:
            # The cloud answers: it is about this one, and so no reason to leave the others alone.
            if isinstance(error, InvalidRequest) and not _is_about_one(error):
                raise _look_failed(error) from None
            raise UnreadableObjectError(str(error)) from None
        except CloudError as error:
            raise _look_failed(error) from None

    def poll_many(
        self, scope: str, object_ids: Sequence[str], since: datetime
    ) -> Mapping[str, Observation | UnreadableObjectError]:
        """Those of the objects that one listing shows, and why some of them cannot be read. Raises `PollError`."""
        wanted = set(object_ids)
        seen: dict[str, Observation | UnreadableObjectError] = {}
        try:
            for page in self.many(_cloud(scope), since):
                for found in page:
                    if found.id in wanted:
                        seen[found.id] = self._seen(found)
                seen.update(
                    {one.id: UnreadableObjectError(str(one)) for one in page.unreadable if one.id in wanted}
                )
        except CloudError as error:
            raise _look_failed(error) from None
        return seen

    def _seen(self, found: FoundObject) -> Observation | UnreadableObjectError:
        try:
            return self.seen(found)
        except Exception as error:
            log.exception("object_unreadable", object=found.id)
            return UnreadableObjectError(f"{type(error).__name__}: {error}")


def _cloud(scope: str) -> Cloud:
    account_id, _slash, region = scope.partition("/")
    try:
        return open_cloud(CloudAccount.objects.get(pk=int(account_id)), region)
    except UnreadableSecretError as error:
        raise PollError(str(error)) from None


def _is_about_one(error: InvalidRequest) -> bool:
    # DomainError before it was sent: an id that is none. A service that is missing is the account's matter.
    return error.status_code is None and not isinstance(error, ServiceMissing)


def _look_failed(error: CloudError) -> PollError:
    return PollError(str(error), error.retry_after if isinstance(error, CloudUnavailable) else None)
