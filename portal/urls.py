"""The URL map."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from django.utils.translation import gettext_lazy as _
from django.views.generic import RedirectView

from api import errors
from pages.showcase import component_page
from signin.pages import AdminSignInView

from . import health
from .api_document import ApiDocsView, DocumentView
from .metrics import metrics
from .overview import overview_page
from .search import search_page
from .url_groups import include_grouped

admin.autodiscover()
admin.site.site_header = admin.site.site_title = _("Portal administration")

rooms = [
    "tenants",
    "signin",
    "events",
    "notifications",
    "approvals",
    "cloudaccounts",
    "volumepool",
    "networks",
    "vms",
    "deploys",
    "tasks",
]

urlpatterns = [
    path("api/v1/", include(include_grouped(f"{room}.urls" for room in ["api", *rooms]))),
    path("", RedirectView.as_view(pattern_name="overview"), name="home"),
    path("overview/", overview_page, name="overview"),
    path("search/", search_page, name="search"),
    *include_grouped(f"{room}.page_urls" for room in rooms),
    # In place of the admin's own, which knows neither providers nor second factors.
    path("admin/login/", AdminSignInView.as_view()),
    path("admin/", admin.site.urls),
    path("api/schema/", DocumentView.as_view(), name="schema"),
    path("api/docs/", ApiDocsView.as_view(url_name="schema"), name="docs"),
    path("metrics", metrics, name="metrics"),
    path("health/live", health.live, name="health-live"),
    path("health/ready", health.ready, name="health-ready"),
    path("health/serving", health.serving, name="health-serving"),
]

if not settings.PRODUCTION:
    urlpatterns.append(path("dev/components/", component_page, name="component-page"))

handler400 = errors.bad_request
handler403 = errors.permission_denied
handler404 = errors.page_not_found
handler500 = errors.server_error
