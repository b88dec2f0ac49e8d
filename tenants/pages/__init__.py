"""The web pages of the room: the user's profile, and the members, applications and quota of a tenant."""

from .choices import select_tenant_page, set_language_page
from .columns import table_columns_page
from .memberships import (
    accept_invitation_page,
    change_member_page,
    decline_invitation_page,
    demand_second_factor_page,
    invite_page,
    leave_page,
    membership_page,
    remove_member_page,
    withdraw_invitation_page,
)
from .profile import password_page, preferences_page
from .quota import quota_page
from .sessions import end_other_sessions_page, end_session_page, session_page
from .systems import edit_system_page, new_system_page, remove_system_page, system_page
from .tokens import new_token_page, revoke_token_page, token_page

__all__ = [
    "accept_invitation_page",
    "change_member_page",
    "decline_invitation_page",
    "demand_second_factor_page",
    "edit_system_page",
    "end_other_sessions_page",
    "end_session_page",
    "invite_page",
    "leave_page",
    "membership_page",
    "new_system_page",
    "new_token_page",
    "password_page",
    "preferences_page",
    "quota_page",
    "remove_member_page",
    "remove_system_page",
    "revoke_token_page",
    "select_tenant_page",
    "session_page",
    "set_language_page",
    "system_page",
    "table_columns_page",
    "token_page",
    "withdraw_invitation_page",
]
