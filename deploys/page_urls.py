"""Addresses of the pages of services, hosts, deploy keys and deployments."""

from django.urls import path

from . import pages

SERVICE = "services/<uuid:pk>/"
VERSION = f"{SERVICE}versions/<uuid:version_pk>/"
INSTANCE = f"{SERVICE}instances/<uuid:instance_pk>/"

urlpatterns = [
    path("services/", pages.service_page, name="service-page"),
    path("services/new/", pages.new_service_page, name="service-new"),
    path(SERVICE, pages.service_detail_page, name="service-detail-page"),
    path(f"{SERVICE}versions/", pages.service_versions_page, name="service-versions-page"),
    path(f"{SERVICE}deployments/", pages.service_deployments_page, name="service-deployments-page"),
    path(f"{SERVICE}settings/", pages.service_settings_page, name="service-settings-page"),
    path(f"{SERVICE}edit/", pages.edit_service_page, name="service-edit"),
    path(f"{SERVICE}remove/", pages.remove_service_page, name="service-remove"),
    path(f"{SERVICE}versions/new/", pages.new_version_page, name="version-new"),
    path(f"{VERSION}edit/", pages.edit_version_page, name="version-edit"),
    path(f"{VERSION}remove/", pages.remove_version_page, name="version-remove"),
    path(f"{VERSION}<slug:action>/", pages.change_version_page, name="version-change"),
    path(f"{SERVICE}instances/new/", pages.new_instances_page, name="instance-new"),
    path(f"{INSTANCE}edit/", pages.edit_instance_page, name="instance-edit"),
    path(f"{INSTANCE}maintenance/", pages.maintain_instance_page, name="instance-maintenance"),
    path(f"{INSTANCE}remove/", pages.remove_instance_page, name="instance-remove"),
    path("hosts/", pages.host_page, name="host-page"),
    path("hosts/new/", pages.new_host_page, name="host-new"),
    path("hosts/<uuid:pk>/", pages.host_detail_page, name="host-detail-page"),
    path("hosts/<uuid:pk>/edit/", pages.edit_host_page, name="host-edit"),
    path("hosts/<uuid:pk>/remove/", pages.remove_host_page, name="host-remove"),
    path("deploy-keys/", pages.deploy_key_page, name="deploy-key-page"),
    path("deploy-keys/new/", pages.new_deploy_key_page, name="deploy-key-new"),
    path("deploy-keys/remove/", pages.remove_deploy_key_page, name="deploy-key-remove"),
    path("deployments/", pages.deployment_page, name="deployment-page"),
    path("deployments/<uuid:pk>/", pages.deployment_detail_page, name="deployment-detail-page"),
    path("deployments/<uuid:pk>/cancel/", pages.cancel_deployment_page, name="deployment-page-cancel"),
    path(
        "deployments/<uuid:pk>/items/<int:item_pk>/log/",
        pages.item_log_download,
        name="deployment-item-log",
    ),
    path("deployments/<uuid:pk>/retry/", pages.retry_deployment_page, name="deployment-page-retry"),
]
