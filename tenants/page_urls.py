"""Addresses of the pages of memberships and invitations."""

from django.urls import path

from . import pages

urlpatterns = [
    path("membership/", pages.membership_page, name="membership-page"),
    path(
        "membership/invitations/<uuid:pk>/accept/",
        pages.accept_invitation,
        name="invitation-page-accept",
    ),
    path(
        "membership/invitations/<uuid:pk>/decline/",
        pages.decline_invitation,
        name="invitation-page-decline",
    ),
    path("membership/<uuid:pk>/leave/", pages.leave, name="tenant-page-leave"),
    path("membership/<uuid:pk>/invite/", pages.invite, name="tenant-page-invite"),
    path(
        "membership/<uuid:pk>/invitations/<uuid:invitation_pk>/withdraw/",
        pages.withdraw_invitation,
        name="tenant-page-withdraw",
    ),
    path(
        "membership/<uuid:pk>/members/<uuid:member_pk>/change/",
        pages.change_member,
        name="member-page-change",
    ),
    path(
        "membership/<uuid:pk>/members/<uuid:member_pk>/remove/",
        pages.remove_member,
        name="member-page-remove",
    ),
]
