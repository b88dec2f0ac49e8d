from django.urls import path

from . import invitation_views, views

urlpatterns = [
    path("tenants/", views.TenantList.as_view(), name="tenant-list"),
    path("tenants/<uuid:pk>/", views.TenantDetail.as_view(), name="tenant-detail"),
    path("tenants/<uuid:pk>/usage/", views.TenantUsage.as_view(), name="tenant-usage"),
    path("tenants/<uuid:pk>/members/", views.MemberList.as_view(), name="member-list"),
    path("tenants/<uuid:pk>/members/<uuid:member_pk>/", views.MemberDetail.as_view(), name="member-detail"),
    path(
        "tenants/<uuid:pk>/invitations/",
        invitation_views.TenantInvitations.as_view(),
        name="tenant-invitation-list",
    ),
    path(
        "tenants/<uuid:pk>/invitations/<uuid:invitation_pk>/",
        invitation_views.TenantInvitation.as_view(),
        name="tenant-invitation-detail",
    ),
    path("tenants/<uuid:pk>/leave/", invitation_views.LeaveTenant.as_view(), name="tenant-leave"),
    path("invitations/", invitation_views.OwnInvitations.as_view(), name="invitation-list"),
    path(
        "invitations/<uuid:pk>/accept/",
        invitation_views.AcceptInvitation.as_view(),
        name="invitation-accept",
    ),
    path(
        "invitations/<uuid:pk>/decline/",
        invitation_views.DeclineInvitation.as_view(),
        name="invitation-decline",
    ),
    path("information-systems/", views.SystemList.as_view(), name="information-system-list"),
    path("information-systems/<uuid:pk>/", views.SystemDetail.as_view(), name="information-system-detail"),
]
