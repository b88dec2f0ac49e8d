"""Addresses under `api/v1/`. Each is answered with and without its last slash, so that no POST is redirected."""

from __future__ import annotations

from typing import Any

from django.urls import URLPattern, path
from rest_framework.views import APIView

from . import auth_views as views


def _with_twin(route: str, view: type[APIView], name: str) -> list[URLPattern]:
    """Return the routes of an address: as the contract writes it, and its twin, which the OpenAPI document leaves out."""
    twin = route.removesuffix("/") if route.endswith("/") else f"{route}/"
    hidden: dict[str, Any] = {"schema": None}
    return [path(route, view.as_view(), name=name), path(twin, view.as_view(**hidden))]


urlpatterns = [
    *_with_twin("auth/login", views.LoginView, "auth-login"),
    *_with_twin("auth/logout", views.LogoutView, "auth-logout"),
    *_with_twin("auth/me", views.MeView, "auth-me"),
    *_with_twin("auth/tokens/", views.TokenListView, "auth-tokens"),
    *_with_twin("auth/tokens/<uuid:pk>/", views.TokenView, "auth-token"),
]
