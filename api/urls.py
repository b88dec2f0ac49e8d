"""Addresses under `api/v1/`. Each is answered with and without its last slash, so that no POST is redirected."""

from __future__ import annotations

from typing import Any

from django.urls import URLPattern, path
from rest_framework.views import APIView

from . import auth_views as views


def _both(route: str, view: type[APIView], name: str) -> list[URLPattern]:
    """An address as the contract writes it, and its twin, which the OpenAPI document leaves out."""
    twin = route.removesuffix("/") if route.endswith("/") else f"{route}/"
    hidden: dict[str, Any] = {"schema": None}
    return [path(route, view.as_view(), name=name), path(twin, view.as_view(**hidden))]


urlpatterns = [
    *_both("auth/login", views.Login, "auth-login"),
    *_both("auth/logout", views.Logout, "auth-logout"),
    *_both("auth/me", views.Me, "auth-me"),
    *_both("auth/tokens/", views.Tokens, "auth-tokens"),
    *_both("auth/tokens/<uuid:pk>/", views.Token, "auth-token"),
]
