from django.urls import path

from . import views

urlpatterns = [
    path("services/", views.ServiceListView.as_view(), name="service-list"),
    path("services/<uuid:pk>/", views.ServiceDetailView.as_view(), name="service-detail"),
    path("services/<uuid:pk>/versions/", views.VersionListView.as_view(), name="version-list"),
    path(
        "services/<uuid:pk>/versions/<uuid:version_pk>/",
        views.VersionDetailView.as_view(),
        name="version-detail",
    ),
    path(
        "services/<uuid:pk>/versions/<uuid:version_pk>/upgrade/",
        views.UpgradeView.as_view(),
        name="version-upgrade",
    ),
    path(
        "services/<uuid:pk>/versions/<uuid:version_pk>/revert/",
        views.RevertView.as_view(),
        name="version-revert",
    ),
    path("services/<uuid:pk>/instances/", views.InstanceListView.as_view(), name="instance-list"),
    path(
        "services/<uuid:pk>/instances/<uuid:instance_pk>/",
        views.InstanceDetailView.as_view(),
        name="instance-detail",
    ),
    path(
        "services/<uuid:pk>/instances/<uuid:instance_pk>/history/",
        views.InstanceHistoryView.as_view(),
        name="instance-history",
    ),
    path("hosts/", views.HostListView.as_view(), name="host-list"),
    path("hosts/key/", views.HostKeyView.as_view(), name="host-key"),
    path("hosts/<uuid:pk>/", views.HostDetailView.as_view(), name="host-detail"),
    path("deployments/", views.DeploymentListView.as_view(), name="deployment-list"),
    path("deployments/<uuid:pk>/", views.DeploymentDetailView.as_view(), name="deployment-detail"),
    path(
        "deployments/<uuid:pk>/items/<int:item_pk>/",
        views.DeploymentItemDetailView.as_view(),
        name="deployment-item-detail",
    ),
    path("deployments/<uuid:pk>/cancel/", views.DeploymentCancelView.as_view(), name="deployment-cancel"),
    path("deployments/<uuid:pk>/retry/", views.DeploymentRetryView.as_view(), name="deployment-retry"),
]
