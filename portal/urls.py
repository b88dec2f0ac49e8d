"""The URL map."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path
from django.utils.translation import gettext_lazy as _
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from portal.api import errors
from tasks.pages import cancel_job_page, job_page, job_page_events
from vms.pages import ask_vm, vm_page, vm_row

from . import health, pages
from .metrics import metrics

admin.site.site_header = admin.site.site_title = _("Portal administration")

rooms = ["portal.api", "tenants", "volumepool", "vms", "tasks"]

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="vm-page"), name="home"),
    path("login/", LoginView.as_view(template_name="portal/login.html"), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("tenant/", pages.choose_tenant, name="choose-tenant"),
    path("language/", include("django.conf.urls.i18n")),
    path("vms/", vm_page, name="vm-page"),
    path("vms/<uuid:pk>/row/", vm_row, name="vm-row"),
    path("vms/<uuid:pk>/ask/", ask_vm, name="vm-ask"),
    path("jobs/<uuid:pk>/", job_page, name="job-page"),
    path("jobs/<uuid:pk>/cancel/", cancel_job_page, name="job-page-cancel"),
    path("jobs/<uuid:pk>/events/", job_page_events, name="job-page-events"),
    path("admin/", admin.site.urls),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    # The split view keeps its script in a file of its own: our CSP allows no inline scripts.
    path("api/docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    path("api/v1/", include([path("", include(f"{room}.urls")) for room in rooms])),
    path("metrics", metrics, name="metrics"),
    path("health/live", health.live, name="health-live"),
    path("health/ready", health.ready, name="health-ready"),
]

handler400 = errors.bad_request
handler403 = errors.permission_denied
handler404 = errors.page_not_found
handler500 = errors.server_error
