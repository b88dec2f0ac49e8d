from django.urls import path

from . import views

urlpatterns = [
    path("resource-types/", views.ResourceTypeList.as_view(), name="resource-type-list"),
    path("cloud-accounts/", views.AccountList.as_view(), name="cloud-account-list"),
    path("cloud-accounts/<int:pk>/", views.AccountDetail.as_view(), name="cloud-account-detail"),
    path("cloud-accounts/<int:pk>/verify/", views.AccountVerify.as_view(), name="cloud-account-verify"),
    path("cloud-accounts/<int:pk>/sync/", views.AccountSync.as_view(), name="cloud-account-sync"),
    path("cloud-resources/", views.ResourceList.as_view(), name="cloud-resource-list"),
    path("cloud-resources/export/", views.ResourceExport.as_view(), name="cloud-resource-export"),
    path("cloud-resources/<uuid:pk>/", views.ResourceDetail.as_view(), name="cloud-resource-detail"),
    path(
        "cloud-resources/<uuid:pk>/changes/", views.ResourceChanges.as_view(), name="cloud-resource-changes"
    ),
    path(
        "cloud-resources/<uuid:pk>/topology/",
        views.ResourceTopology.as_view(),
        name="cloud-resource-topology",
    ),
    path("sync-logs/", views.SyncLogList.as_view(), name="sync-log-list"),
    path("sync-logs/<int:pk>/", views.SyncLogDetail.as_view(), name="sync-log-detail"),
    path("sync-logs/<int:pk>/lines/", views.SyncLogLines.as_view(), name="sync-log-lines"),
    path(
        "sync-logs/<int:pk>/accept-losses/",
        views.SyncLogAcceptLosses.as_view(),
        name="sync-log-accept-losses",
    ),
]
