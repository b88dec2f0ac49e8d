"""The web pages of the room: signing in, preferences, the selection of a tenant, and memberships."""

from .memberships import (
    accept_invitation_page,
    change_member_page,
    decline_invitation_page,
    invite_page,
    leave_page,
    membership_page,
    remove_member_page,
    withdraw_invitation_page,
)
from .preferences import SignInView, preferences_page, select_tenant_page

__all__ = [
    "SignInView",
    "accept_invitation_page",
    "change_member_page",
    "decline_invitation_page",
    "invite_page",
    "leave_page",
    "membership_page",
    "preferences_page",
    "remove_member_page",
    "select_tenant_page",
    "withdraw_invitation_page",
]
