"""The services of this room."""

from .access import DECIDE_PERMISSION, count_waiting_for, select_waiting_for
from .decisions import ApprovalResult, approve_request, break_glass
from .policies import (
    POLICIES,
    change_policy,
    create_delegation,
    create_policy,
    remove_delegation,
    remove_policy,
)
from .requests import (
    comment_on_request,
    expire_requests,
    get_request,
    prune_requests,
    record_request,
    reject_request,
    withdraw_request,
)

__all__ = [
    "DECIDE_PERMISSION",
    "POLICIES",
    "ApprovalResult",
    "approve_request",
    "break_glass",
    "change_policy",
    "comment_on_request",
    "count_waiting_for",
    "create_delegation",
    "create_policy",
    "expire_requests",
    "get_request",
    "prune_requests",
    "record_request",
    "reject_request",
    "remove_delegation",
    "remove_policy",
    "select_waiting_for",
    "withdraw_request",
]
