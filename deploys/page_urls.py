"""Addresses of the pages of services and deployments."""

from django.urls import path

from . import pages

urlpatterns = [
    path("services/", pages.service_page, name="service-page"),
    path("services/<uuid:pk>/", pages.service_detail_page, name="service-detail-page"),
    path(
        "services/<uuid:pk>/versions/<uuid:version_pk>/<slug:action>/",
        pages.change_version_page,
        name="version-change",
    ),
    path("deployments/", pages.deployment_page, name="deployment-page"),
    path("deployments/<uuid:pk>/", pages.deployment_detail_page, name="deployment-detail-page"),
    path("deployments/<uuid:pk>/cancel/", pages.cancel_deployment_page, name="deployment-page-cancel"),
    path(
        "deployments/<uuid:pk>/items/<int:item_pk>/log/",
        pages.item_log_part,
        name="deployment-item-log",
    ),
    path("deployments/<uuid:pk>/retry/", pages.retry_deployment_page, name="deployment-page-retry"),
]
