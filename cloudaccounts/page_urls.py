"""Addresses of the pages of cloud accounts, resources and sync logs."""

from django.urls import path

from . import pages

urlpatterns = [
    path("accounts/", pages.account_page, name="account-page"),
    path("accounts/new/", pages.new_account_page, name="account-new"),
    path("accounts/<int:pk>/", pages.account_detail_page, name="account-detail-page"),
    path("accounts/<int:pk>/edit/", pages.edit_account_page, name="account-edit"),
    path("accounts/<int:pk>/hosts/", pages.account_hosts_page, name="account-hosts-page"),
    path("accounts/<int:pk>/hosts/read/", pages.read_hosts_page, name="account-hosts-read"),
    path("accounts/<int:pk>/regions/", pages.account_regions_page, name="account-regions-page"),
    path("accounts/<int:pk>/remove/", pages.remove_account_page, name="account-remove"),
    path("accounts/<int:pk>/switch/", pages.switch_account_page, name="account-switch"),
    path("accounts/<int:pk>/sync/", pages.sync_account_page, name="account-sync"),
    path("accounts/<int:pk>/types/", pages.account_types_page, name="account-types-page"),
    path("accounts/<int:pk>/verify/", pages.verify_account_page, name="account-verify"),
    path("catalogue/", pages.catalogue_page, name="catalogue-page"),
    path("catalogue/common/<int:account_id>/", pages.grant_common_kinds_page, name="catalogue-common"),
    path("catalogue/new/", pages.new_grant_page, name="catalogue-new"),
    path("catalogue/<int:pk>/remove/", pages.remove_grant_page, name="catalogue-remove"),
    path("cloud-changes/", pages.cloud_change_page, name="cloud-change-page"),
    path("resources/", pages.resource_page, name="resource-page"),
    path("resources/<uuid:pk>/", pages.resource_detail_page, name="resource-detail-page"),
    path("resources/<uuid:pk>/changes/", pages.resource_changes_page, name="resource-changes-page"),
    path("resources/<uuid:pk>/topology/", pages.resource_topology_page, name="resource-topology-page"),
    path("resources/<uuid:pk>/used-by/", pages.resource_dependents_page, name="resource-dependents-page"),
    path(
        "resources/of/<int:account_id>/<path:cloud_id>/",
        pages.resource_by_cloud_id_page,
        name="resource-by-cloud-id",
    ),
    path("sync-logs/", pages.sync_log_page, name="sync-log-page"),
    path("sync-logs/<int:pk>/", pages.sync_log_detail_page, name="sync-log-detail-page"),
    path("sync-logs/<int:pk>/accept-losses/", pages.accept_losses_page, name="sync-log-accept"),
    path("sync-logs/<int:pk>/log.txt", pages.sync_log_text, name="sync-log-text"),
]
