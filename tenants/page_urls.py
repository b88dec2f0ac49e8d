"""Addresses of the pages of the room."""

from django.urls import path

from . import pages

urlpatterns = [
    path("language/setlang/", pages.set_language_page, name="set_language"),
    path("tenant/", pages.select_tenant_page, name="select-tenant"),
    path("preferences/", pages.preferences_page, name="preferences"),
    path("preferences/password/", pages.password_page, name="password-page"),
    path("preferences/tokens/", pages.token_page, name="token-page"),
    path("preferences/tokens/new/", pages.new_token_page, name="token-new"),
    path("preferences/tokens/<uuid:pk>/revoke/", pages.revoke_token_page, name="token-revoke"),
    path("preferences/columns/<slug:table>/", pages.table_columns_page, name="table-columns"),
    path("preferences/sessions/", pages.session_page, name="session-page"),
    path("preferences/sessions/end-others/", pages.end_other_sessions_page, name="session-end-others"),
    path("preferences/sessions/<uuid:pk>/end/", pages.end_session_page, name="session-end"),
    path("systems/", pages.system_page, name="system-page"),
    path("systems/new/", pages.new_system_page, name="system-new"),
    path("systems/<uuid:pk>/edit/", pages.edit_system_page, name="system-edit"),
    path("systems/<uuid:pk>/remove/", pages.remove_system_page, name="system-remove"),
    path("quota/", pages.quota_page, name="quota-page"),
    path("membership/", pages.membership_page, name="membership-page"),
    path(
        "membership/invitations/<uuid:pk>/accept/",
        pages.accept_invitation_page,
        name="invitation-page-accept",
    ),
    path(
        "membership/invitations/<uuid:pk>/decline/",
        pages.decline_invitation_page,
        name="invitation-page-decline",
    ),
    path("membership/<uuid:pk>/leave/", pages.leave_page, name="tenant-page-leave"),
    path(
        "membership/<uuid:pk>/second-factor/",
        pages.demand_second_factor_page,
        name="tenant-page-second-factor",
    ),
    path("membership/<uuid:pk>/invite/", pages.invite_page, name="tenant-page-invite"),
    path(
        "membership/<uuid:pk>/invitations/<uuid:invitation_pk>/withdraw/",
        pages.withdraw_invitation_page,
        name="tenant-page-withdraw",
    ),
    path(
        "membership/<uuid:pk>/members/<uuid:member_pk>/change/",
        pages.change_member_page,
        name="member-page-change",
    ),
    path(
        "membership/<uuid:pk>/members/<uuid:member_pk>/remove/",
        pages.remove_member_page,
        name="member-page-remove",
    ),
]
