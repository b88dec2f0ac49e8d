from django.urls import path

from . import views

urlpatterns = [
    path("services/", views.ServiceList.as_view(), name="service-list"),
    path("services/<uuid:pk>/", views.ServiceDetail.as_view(), name="service-detail"),
    path("services/<uuid:pk>/versions/", views.VersionList.as_view(), name="version-list"),
    path(
        "services/<uuid:pk>/versions/<uuid:version_pk>/", views.VersionDetail.as_view(), name="version-detail"
    ),
    path(
        "services/<uuid:pk>/versions/<uuid:version_pk>/upgrade/",
        views.Upgrade.as_view(),
        name="version-upgrade",
    ),
    path(
        "services/<uuid:pk>/versions/<uuid:version_pk>/revert/", views.Revert.as_view(), name="version-revert"
    ),
    path("services/<uuid:pk>/instances/", views.InstanceList.as_view(), name="instance-list"),
    path(
        "services/<uuid:pk>/instances/<uuid:instance_pk>/",
        views.InstanceDetail.as_view(),
        name="instance-detail",
    ),
    path(
        "services/<uuid:pk>/instances/<uuid:instance_pk>/history/",
        views.InstanceHistory.as_view(),
        name="instance-history",
    ),
    path("hosts/", views.HostList.as_view(), name="host-list"),
    path("hosts/key/", views.HostKey.as_view(), name="host-key"),
    path("hosts/<uuid:pk>/", views.HostDetail.as_view(), name="host-detail"),
    path("deployments/", views.DeploymentList.as_view(), name="deployment-list"),
    path("deployments/<uuid:pk>/", views.DeploymentDetail.as_view(), name="deployment-detail"),
    path(
        "deployments/<uuid:pk>/items/<int:item_pk>/",
        views.DeploymentItemDetail.as_view(),
        name="deployment-item-detail",
    ),
    path("deployments/<uuid:pk>/cancel/", views.DeploymentCancel.as_view(), name="deployment-cancel"),
    path("deployments/<uuid:pk>/retry/", views.DeploymentRetry.as_view(), name="deployment-retry"),
]
