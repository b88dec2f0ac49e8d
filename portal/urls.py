"""The URL map."""

from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import include, path
from django.utils.translation import gettext_lazy as _
from django.views.generic import RedirectView

from cloudaccounts import pages as account_pages
from deploys import pages as deploy_pages
from portal.api import errors
from tasks.pages import cancel_job_page, job_page, job_page_events
from tenants import pages as tenant_pages
from vms import pages as vm_pages
from volumepool import pages as volume_pages

from . import health, pages
from .api_document import DocumentPage, DocumentView
from .metrics import metrics

admin.site.site_header = admin.site.site_title = _("Portal administration")

rooms = ["portal.api", "tenants", "cloudaccounts", "volumepool", "vms", "deploys", "tasks"]

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="vm-page"), name="home"),
    path("login/", pages.SignIn.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("tenant/", pages.choose_tenant, name="choose-tenant"),
    path("membership/", tenant_pages.membership_page, name="membership-page"),
    path(
        "membership/invitations/<uuid:pk>/accept/",
        tenant_pages.accept_invitation,
        name="invitation-page-accept",
    ),
    path(
        "membership/invitations/<uuid:pk>/decline/",
        tenant_pages.decline_invitation,
        name="invitation-page-decline",
    ),
    path("membership/<uuid:pk>/leave/", tenant_pages.leave, name="tenant-page-leave"),
    path("membership/<uuid:pk>/invite/", tenant_pages.invite, name="tenant-page-invite"),
    path(
        "membership/<uuid:pk>/invitations/<uuid:invitation_pk>/withdraw/",
        tenant_pages.withdraw_invitation,
        name="tenant-page-withdraw",
    ),
    path(
        "membership/<uuid:pk>/members/<uuid:member_pk>/change/",
        tenant_pages.change_member,
        name="member-page-change",
    ),
    path(
        "membership/<uuid:pk>/members/<uuid:member_pk>/remove/",
        tenant_pages.remove_member,
        name="member-page-remove",
    ),
    path("preferences/", pages.preferences, name="preferences"),
    path("language/", include("django.conf.urls.i18n")),
    path("vms/", vm_pages.vm_page, name="vm-page"),
    path("vms/ask/", vm_pages.ask_vms, name="vms-ask"),
    path("vms/new/", vm_pages.new_vm_page, name="vm-new"),
    path("vms/sync-now/", vm_pages.sync_vms_now, name="vms-sync-now"),
    path("vms/<uuid:pk>/", vm_pages.vm_detail_page, name="vm-detail-page"),
    path("vms/<uuid:pk>/ask/", vm_pages.ask_vm, name="vm-ask"),
    path("vms/<uuid:pk>/change/", vm_pages.change_vm_page, name="vm-change"),
    path("vms/<uuid:pk>/console/", vm_pages.console_part, name="vm-console-part"),
    path("vms/<uuid:pk>/console/ask/", vm_pages.ask_console, name="vm-console-ask"),
    path("vms/<uuid:pk>/live/", vm_pages.vm_live_part, name="vm-live"),
    path("vms/<uuid:pk>/log/", vm_pages.operation_log_page, name="vm-log-page"),
    path("vms/<uuid:pk>/remove/", vm_pages.remove_vm_page, name="vm-remove"),
    path("vms/<uuid:pk>/resize/", vm_pages.resize_vm_page, name="vm-resize-page"),
    path("vms/<uuid:pk>/row/", vm_pages.vm_row, name="vm-row"),
    path("vms/<uuid:pk>/snapshots/", vm_pages.take_snapshot_page, name="vm-snapshot-take"),
    path("vms/<uuid:pk>/volumes/", vm_pages.attach_volume_page, name="vm-volume-attach"),
    path("vms/<uuid:pk>/volumes/new/", vm_pages.attach_new_volume_page, name="vm-volume-new"),
    path(
        "vms/<uuid:pk>/volumes/<uuid:volume_pk>/detach/",
        vm_pages.detach_volume_page,
        name="vm-volume-detach",
    ),
    path("snapshots/", vm_pages.snapshot_page, name="snapshot-page"),
    path("snapshots/<uuid:pk>/remove/", vm_pages.remove_snapshot_page, name="snapshot-remove"),
    path("volumes/", volume_pages.volume_page, name="volume-page"),
    path("volumes/new/", volume_pages.new_volumes_page, name="volume-new"),
    path("volumes/snapshots/", volume_pages.volume_snapshot_page, name="volume-snapshot-page"),
    path("volumes/snapshots/<uuid:pk>/copy/", volume_pages.copy_snapshot_page, name="volume-snapshot-copy"),
    path(
        "volumes/snapshots/<uuid:pk>/remove/",
        volume_pages.remove_volume_snapshot_page,
        name="volume-snapshot-remove",
    ),
    path("volumes/<uuid:pk>/change/", volume_pages.change_volume_page, name="volume-change"),
    path("volumes/<uuid:pk>/remove/", volume_pages.remove_volume_page, name="volume-remove"),
    path("pools/", volume_pages.pool_page, name="pool-page"),
    path("pools/<int:pk>/", volume_pages.pool_detail_page, name="pool-detail-page"),
    path("pools/<int:pk>/backfill/", volume_pages.fill_pool_page, name="pool-backfill"),
    path("pools/<int:pk>/live/", volume_pages.pool_live_part, name="pool-live"),
    path("pools/<int:pk>/reconcile/", volume_pages.compare_pool_page, name="pool-reconcile"),
    path("services/", deploy_pages.service_page, name="service-page"),
    path("services/<uuid:pk>/", deploy_pages.service_detail_page, name="service-detail-page"),
    path(
        "services/<uuid:pk>/versions/<uuid:version_pk>/<slug:action>/",
        deploy_pages.change_version_page,
        name="version-change",
    ),
    path("deployments/", deploy_pages.deployment_page, name="deployment-page"),
    path("deployments/<uuid:pk>/", deploy_pages.deployment_detail_page, name="deployment-detail-page"),
    path("deployments/<uuid:pk>/cancel/", deploy_pages.cancel_deployment_page, name="deployment-page-cancel"),
    path(
        "deployments/<uuid:pk>/items/<int:item_pk>/log/",
        deploy_pages.item_log_part,
        name="deployment-item-log",
    ),
    path("deployments/<uuid:pk>/retry/", deploy_pages.retry_deployment_page, name="deployment-page-retry"),
    path("accounts/", account_pages.account_page, name="account-page"),
    path("accounts/new/", account_pages.new_account_page, name="account-new"),
    path("accounts/<int:pk>/", account_pages.account_detail_page, name="account-detail-page"),
    path("accounts/<int:pk>/edit/", account_pages.edit_account_page, name="account-edit"),
    path("accounts/<int:pk>/live/", account_pages.account_live_part, name="account-live"),
    path("accounts/<int:pk>/remove/", account_pages.remove_account_page, name="account-remove"),
    path("accounts/<int:pk>/switch/", account_pages.switch_account_page, name="account-switch"),
    path("accounts/<int:pk>/sync/", account_pages.sync_account_page, name="account-sync"),
    path("accounts/<int:pk>/verify/", account_pages.verify_account_page, name="account-verify"),
    path("resources/", account_pages.resource_page, name="resource-page"),
    path("resources/<uuid:pk>/", account_pages.resource_detail_page, name="resource-detail-page"),
    path("sync-logs/", account_pages.sync_log_page, name="sync-log-page"),
    path("sync-logs/<int:pk>/", account_pages.sync_log_detail_page, name="sync-log-detail-page"),
    path("sync-logs/<int:pk>/accept-losses/", account_pages.accept_losses_page, name="sync-log-accept"),
    path("sync-logs/<int:pk>/lines/", account_pages.sync_log_lines_part, name="sync-log-lines-part"),
    path("jobs/<uuid:pk>/", job_page, name="job-page"),
    path("jobs/<uuid:pk>/cancel/", cancel_job_page, name="job-page-cancel"),
    path("jobs/<uuid:pk>/events/", job_page_events, name="job-page-events"),
    path("admin/", admin.site.urls),
    path("api/schema/", DocumentView.as_view(), name="schema"),
    path("api/docs/", DocumentPage.as_view(url_name="schema"), name="docs"),
    path("api/v1/", include([path("", include(f"{room}.urls")) for room in rooms])),
    path("metrics", metrics, name="metrics"),
    path("health/live", health.live, name="health-live"),
    path("health/ready", health.ready, name="health-ready"),
    path("health/serving", health.serving, name="health-serving"),
]

handler400 = errors.bad_request
handler403 = errors.permission_denied
handler404 = errors.page_not_found
handler500 = errors.server_error
