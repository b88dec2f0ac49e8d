from django.urls import path

from . import views

urlpatterns = [
    path("providers/", views.ProviderListView.as_view(), name="provider-list"),
    path("resource-types/", views.ResourceTypeListView.as_view(), name="resource-type-list"),
    path("cloud-accounts/", views.AccountListView.as_view(), name="cloud-account-list"),
    path("cloud-accounts/<int:pk>/", views.AccountDetailView.as_view(), name="cloud-account-detail"),
    path("cloud-accounts/<int:pk>/verify/", views.AccountVerifyView.as_view(), name="cloud-account-verify"),
    path("cloud-accounts/<int:pk>/sync/", views.AccountSyncView.as_view(), name="cloud-account-sync"),
    path("cloud-accounts/<int:pk>/hosts/", views.AccountHostsView.as_view(), name="cloud-account-hosts"),
    path("catalogue-grants/", views.GrantListView.as_view(), name="catalogue-grant-list"),
    path("catalogue-grants/<int:pk>/", views.GrantDetailView.as_view(), name="catalogue-grant-detail"),
    path("cloud-changes/", views.CloudChangeListView.as_view(), name="cloud-change-list"),
    path("cloud-resources/", views.ResourceListView.as_view(), name="cloud-resource-list"),
    path("cloud-resources/export/", views.ResourceExportView.as_view(), name="cloud-resource-export"),
    path("cloud-resources/<uuid:pk>/", views.ResourceDetailView.as_view(), name="cloud-resource-detail"),
    path(
        "cloud-resources/<uuid:pk>/changes/",
        views.ResourceChangesView.as_view(),
        name="cloud-resource-changes",
    ),
    path(
        "cloud-resources/<uuid:pk>/topology/",
        views.ResourceTopologyView.as_view(),
        name="cloud-resource-topology",
    ),
    path(
        "cloud-resources/<uuid:pk>/supports/",
        views.ResourceSupportsView.as_view(),
        name="cloud-resource-supports",
    ),
    path(
        "cloud-resources/<uuid:pk>/stands-on/",
        views.ResourceStandsOnView.as_view(),
        name="cloud-resource-stands-on",
    ),
    path("sync-logs/", views.SyncLogListView.as_view(), name="sync-log-list"),
    path("sync-logs/<int:pk>/", views.SyncLogDetailView.as_view(), name="sync-log-detail"),
    path("sync-logs/<int:pk>/lines/", views.SyncLogLinesView.as_view(), name="sync-log-lines"),
    path(
        "sync-logs/<int:pk>/accept-losses/",
        views.SyncLogAcceptLossesView.as_view(),
        name="sync-log-accept-losses",
    ),
]
