from django.urls import path

from . import invitation_views, views

urlpatterns = [
    path("tenants/", views.TenantListView.as_view(), name="tenant-list"),
    path("tenants/<uuid:pk>/", views.TenantDetailView.as_view(), name="tenant-detail"),
    path("tenants/<uuid:pk>/usage/", views.TenantUsageView.as_view(), name="tenant-usage"),
    path("tenants/<uuid:pk>/members/", views.MemberListView.as_view(), name="member-list"),
    path(
        "tenants/<uuid:pk>/members/<uuid:member_pk>/", views.MemberDetailView.as_view(), name="member-detail"
    ),
    path(
        "tenants/<uuid:pk>/invitations/",
        invitation_views.TenantInvitationListView.as_view(),
        name="tenant-invitation-list",
    ),
    path(
        "tenants/<uuid:pk>/invitations/<uuid:invitation_pk>/",
        invitation_views.TenantInvitationDetailView.as_view(),
        name="tenant-invitation-detail",
    ),
    path("tenants/<uuid:pk>/leave/", invitation_views.LeaveTenantView.as_view(), name="tenant-leave"),
    path("invitations/", invitation_views.OwnInvitationListView.as_view(), name="invitation-list"),
    path(
        "invitations/<uuid:pk>/accept/",
        invitation_views.AcceptInvitationView.as_view(),
        name="invitation-accept",
    ),
    path(
        "invitations/<uuid:pk>/decline/",
        invitation_views.DeclineInvitationView.as_view(),
        name="invitation-decline",
    ),
    path("information-systems/", views.InformationSystemListView.as_view(), name="information-system-list"),
    path(
        "information-systems/<uuid:pk>/",
        views.InformationSystemDetailView.as_view(),
        name="information-system-detail",
    ),
]
