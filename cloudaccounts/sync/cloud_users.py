"""Ask the cloud by whom changes from outside were made."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import structlog

from openstack_client.decoding import clean_text

from ..models import CloudAccount, ResourceChange
from ..registry import CloudAction, Provider
from .change_origins import LATE, find_previous_listing
from .resource_writer import SyncTarget

log = structlog.get_logger(__name__)

# A region in which more has changed is not asked about the rest: each object costs a request.
MOST_ASKED = 50
# What the recorded actions of a cloud change. Nova records nothing of a new name, for example.
FIELDS_OF_ACTIONS = frozenset(
    {
        "expired",
        "status",
        "state",
        "attributes.addresses",
        "attributes.disk_gb",
        "attributes.flavor",
        "attributes.memory_mb",
        "attributes.vcpus",
    }
)


def find_cloud_users(
    provider: Provider, client: Any, account: CloudAccount, target: SyncTarget, log_id: int
) -> list[ResourceChange]:
    """Return the changes from outside of one listing with the action and the user that the cloud names, not yet saved.

    The last action since the listing before is taken. Without one, as when a guest shuts itself down, a change has no user.
    Sends a request for each changed object, so call it outside of transactions. An object that the cloud cannot be asked about
    stays without a user.
    """
    _account, region, type_code = target
    found = ResourceChange.objects.filter(
        log=log_id, resource__region=region, resource__type=type_code, outside=True
    )
    changes = [
        change
        for change in found.select_related("resource").order_by("-pk")[: MOST_ASKED * 2]
        if FIELDS_OF_ACTIONS & change.fields.keys()
    ][:MOST_ASKED]
    if not changes:
        return []
    previous = find_previous_listing(account, type_code, log_id)
    named = []
    for change in changes:
        try:
            actions = provider.list_actions(client, type_code, change.resource.cloud_id)
        except provider.errors as error:
            log.info("cloud_user_unknown", resource=str(change.resource_id), error=str(error))
            continue
        if actions is None:
            return []
        since = min(previous, change.resource.last_seen_at) - LATE
        if action := _find_last(actions, since):
            change.cloud_action, change.cloud_user = (
                clean_text(action.action, 100),
                clean_text(action.user, 255),
            )
            named.append(change)
    return named


def _find_last(actions: Iterable[CloudAction], since: datetime) -> CloudAction | None:
    recent = [action for action in actions if action.began >= since]
    return max(recent, key=lambda action: action.began, default=None)
