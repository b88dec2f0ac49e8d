"""Looking at servers for the engine's async tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

from cloudaccounts.connect import open_cloud
from cloudaccounts.encryption import UnreadableSecret
from cloudaccounts.models import CloudAccount
from openstack_client import Cloud, CloudError, CloudUnavailable, NotFound, Server
from tasks.polling import MISSING, LookFailed, Observation

from .mapping import columns_of

# `changes-since` is asked with the portal's clock of a cloud that has its own; five minutes cover the difference.
CLOCK_SKEW = timedelta(minutes=5)


class ServerWatcher:
    """Looks at servers for the engine's async tasks. Its scopes are those of `VirtualMachine.polling_scope`."""

    def look_at_one(self, scope: str, object_id: str) -> Observation:
        """One server by a single get."""
        try:
            return _observation(self._cloud(scope).compute.get_server(object_id))
        except NotFound:
            return Observation(MISSING)
        except CloudError as error:
            raise _look_failed(error) from None

    def look_at_many(
        self, scope: str, object_ids: Sequence[str], since: datetime
    ) -> Mapping[str, Observation]:
        """What has changed since the first of them was watched, by one listing."""
        wanted = set(object_ids)
        seen: dict[str, Observation] = {}
        try:
            for page in self._cloud(scope).compute.server_pages(changes_since=since - CLOCK_SKEW):
                seen.update((server.id, _observation(server)) for server in page if server.id in wanted)
        except CloudError as error:
            raise _look_failed(error) from None
        return seen

    def _cloud(self, scope: str) -> Cloud:
        account_id, _slash, region = scope.partition("/")
        try:
            return open_cloud(CloudAccount.objects.get(pk=int(account_id)), region)
        except UnreadableSecret as error:
            raise LookFailed(str(error)) from None


def _observation(server: Server) -> Observation:
    status = MISSING if server.status == "DELETED" else server.status
    return Observation(status, server.fault or "", {"columns": asdict(columns_of(server))})


def _look_failed(error: CloudError) -> LookFailed:
    return LookFailed(str(error), error.retry_after if isinstance(error, CloudUnavailable) else None)
