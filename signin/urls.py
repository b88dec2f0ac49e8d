"""Addresses of the room under `api/v1/`."""

from django.urls import path

from . import views

urlpatterns = [
    path("service-accounts/", views.ServiceAccountListView.as_view(), name="service-account-list"),
    path(
        "service-accounts/<uuid:pk>/", views.ServiceAccountDetailView.as_view(), name="service-account-detail"
    ),
    path(
        "service-accounts/<uuid:pk>/tokens/",
        views.ServiceTokenListView.as_view(),
        name="service-account-token-list",
    ),
    path(
        "service-accounts/<uuid:pk>/tokens/<uuid:token_pk>/",
        views.ServiceTokenDetailView.as_view(),
        name="service-account-token-detail",
    ),
]
