from django.urls import path

from . import views

urlpatterns = [
    path("tenants/", views.TenantList.as_view(), name="tenant-list"),
    path("tenants/<uuid:pk>/", views.TenantDetail.as_view(), name="tenant-detail"),
    path("tenants/<uuid:pk>/usage/", views.TenantUsage.as_view(), name="tenant-usage"),
    path("tenants/<uuid:pk>/members/", views.MemberList.as_view(), name="member-list"),
    path("tenants/<uuid:pk>/members/<uuid:member_pk>/", views.MemberDetail.as_view(), name="member-detail"),
    path("information-systems/", views.SystemList.as_view(), name="information-system-list"),
    path("information-systems/<uuid:pk>/", views.SystemDetail.as_view(), name="information-system-detail"),
]
