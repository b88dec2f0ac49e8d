"""The base class of watchers that poll objects of a cloud for the task manager."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Generic, Protocol, TypeVar

import structlog

from openstack_client import (
    Cloud,
    CloudError,
    CloudNotFoundError,
    CloudServiceMissingError,
    CloudUnavailableError,
    InvalidCloudRequestError,
    RecordPage,
    UnreadableRecordError,
)
from security.encryption import UnreadableSecretError
from tasks.polling import MISSING, Observation, PollError, UnreadableObjectError

from ..connect import open_cloud
from ..models import CloudAccount

log = structlog.get_logger(__name__)


class _ObjectWithId(Protocol):
    @property
    def id(self) -> str: ...


FoundObject = TypeVar("FoundObject", bound=_ObjectWithId)


class CloudWatcher(ABC, Generic[FoundObject]):
    """Polls objects of one type for the engine's async tasks. A scope is `<account>/<region>`."""

    @abstractmethod
    def fetch_object(self, cloud: Cloud, object_id: str) -> FoundObject:
        """Fetch one object. Raises `CloudError`; `CloudNotFoundError` when the cloud does not have it."""

    @abstractmethod
    def list_pages(self, cloud: Cloud, since: datetime) -> Iterable[RecordPage[FoundObject]]:
        """Yield the pages of one listing; objects that have not changed `since` may be left out."""

    @abstractmethod
    def build_observation(self, found: FoundObject) -> Observation:
        """Return the observation of an object for the task manager."""

    def poll_one(self, scope: str, object_id: str) -> Observation:
        """Poll one object. Raises `PollError`, `UnreadableObjectError`."""
        try:
            return self.build_observation(self.fetch_object(_open_cloud_of(scope), object_id))
        except CloudNotFoundError:
            return Observation(MISSING)
        except (UnreadableRecordError, InvalidCloudRequestError) as error:
            # The cloud answers, and the error concerns this object alone: the others are polled.
            if isinstance(error, InvalidCloudRequestError) and not _concerns_one_object(error):
                raise _build_poll_error(error) from None
            raise UnreadableObjectError(str(error)) from None
        except CloudError as error:
            raise _build_poll_error(error) from None

    def poll_many(
        self, scope: str, object_ids: Sequence[str], since: datetime
    ) -> Mapping[str, Observation | UnreadableObjectError]:
        """Poll objects by one listing; return what it shows of them, or why one cannot be read. Raises `PollError`."""
        wanted = set(object_ids)
        observations: dict[str, Observation | UnreadableObjectError] = {}
        try:
            for page in self.list_pages(_open_cloud_of(scope), since):
                for found in page:
                    if found.id in wanted:
                        observations[found.id] = self._try_build_observation(found)
                observations.update(
                    {
                        record.id: UnreadableObjectError(str(record))
                        for record in page.unreadable
                        if record.id in wanted
                    }
                )
        except CloudError as error:
            raise _build_poll_error(error) from None
        return observations

    def _try_build_observation(self, found: FoundObject) -> Observation | UnreadableObjectError:
        try:
            return self.build_observation(found)
        except Exception as error:
            log.exception("object_unreadable", object=found.id)
            return UnreadableObjectError(f"{type(error).__name__}: {error}")


def _open_cloud_of(scope: str) -> Cloud:
    account_id, _slash, region = scope.partition("/")
    try:
        return open_cloud(CloudAccount.objects.get(pk=int(account_id)), region)
    except UnreadableSecretError as error:
        raise PollError(str(error)) from None


def _concerns_one_object(error: InvalidCloudRequestError) -> bool:
    # An invalid id is refused before the request is sent. A missing service concerns the whole account.
    return error.status_code is None and not isinstance(error, CloudServiceMissingError)


def _build_poll_error(error: CloudError) -> PollError:
    return PollError(str(error), error.retry_after if isinstance(error, CloudUnavailableError) else None)
