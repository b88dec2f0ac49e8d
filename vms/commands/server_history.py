"""Read Nova's record of a server's actions: whether a host works on a request, and which action was the last."""

from __future__ import annotations

from api.messages import message as _
from openstack_client import CloudError, CloudNotFoundError, ServerEvent
from openstack_client.compute import Compute


def fetch_request_events(compute: Compute, server_id: str, request_id: str) -> list[ServerEvent]:
    """Return the events of a request on Nova's services; of the server's last action when the request's id is not known."""
    try:
        if not request_id:
            actions = compute.list_server_actions(server_id)
            request_id = actions[0].request_id if actions else ""
        return compute.list_action_events(server_id, request_id) if request_id else []
    except CloudNotFoundError:
        return []  # The request died before Nova recorded it.


def is_worked_on(events: list[ServerEvent]) -> bool:
    """Return whether a host has begun and not ended its work on a request.

    Events of the conductor ("cold_migrate") do not count: they last for a moment, or for ever when the conductor was killed.
    """
    return any(event.finished_at is None and event.name.startswith("compute") for event in events)


def has_failed(events: list[ServerEvent]) -> bool:
    """Return whether the last piece of work on a request ended in an error."""
    return bool(events) and not is_worked_on(events) and any(event.result == "Error" for event in events)


def describe_last_action(compute: Compute, server_id: str, ours: str) -> str:
    """Return a sentence about the last action on a server; "" when it is this request, or cannot be read."""
    try:
        actions = compute.list_server_actions(server_id)
    except CloudError:
        return ""
    if not actions or actions[0].request_id == ours:
        return ""
    return " " + _("The last action on the server is '%(action)s' (request %(id)s).") % {
        "action": actions[0].action,
        "id": actions[0].request_id,
    }
