from django.urls import path

from . import views

urlpatterns = [
    path("security-groups/", views.SecurityGroupListView.as_view(), name="security-group-list"),
    path("security-groups/<uuid:pk>/", views.SecurityGroupDetailView.as_view(), name="security-group-detail"),
    path(
        "security-groups/<uuid:pk>/copy/", views.SecurityGroupCopyView.as_view(), name="security-group-copy"
    ),
    path("security-groups/<uuid:pk>/rules/", views.RuleListView.as_view(), name="security-group-rules"),
    path(
        "security-groups/<uuid:pk>/rules/<uuid:rule_pk>/",
        views.RuleDetailView.as_view(),
        name="security-group-rule",
    ),
    path("floating-ips/", views.FloatingIpListView.as_view(), name="floating-ip-list"),
    path("floating-ips/<uuid:pk>/", views.FloatingIpDetailView.as_view(), name="floating-ip-detail"),
    path("server-groups/", views.ServerGroupListView.as_view(), name="server-group-list"),
    path("server-groups/<uuid:pk>/", views.ServerGroupDetailView.as_view(), name="server-group-detail"),
]
