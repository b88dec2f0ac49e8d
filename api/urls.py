"""Addresses of the room under `api/v1/`, each with and without its last slash, so that no POST is redirected."""

from __future__ import annotations

from typing import Any

from django.urls import URLPattern, path
from rest_framework.views import APIView

from . import auth_views as views
from . import session_views


def _route_with_and_without_slash(route: str, view: type[APIView], name: str) -> list[URLPattern]:
    """Return the documented route of an address, and its variant, which is not in the OpenAPI document."""
    variant = route.removesuffix("/") if route.endswith("/") else f"{route}/"
    hidden: dict[str, Any] = {"schema": None}
    return [path(route, view.as_view(), name=name), path(variant, view.as_view(**hidden))]


urlpatterns = [
    *_route_with_and_without_slash("auth/login", views.LoginView, "auth-login"),
    *_route_with_and_without_slash("auth/logout", views.LogoutView, "auth-logout"),
    *_route_with_and_without_slash("auth/me", views.MeView, "auth-me"),
    *_route_with_and_without_slash("auth/sessions/", session_views.SessionListView, "auth-sessions"),
    *_route_with_and_without_slash(
        "auth/sessions/end-others/", session_views.EndOtherSessionsView, "auth-sessions-end-others"
    ),
    *_route_with_and_without_slash("auth/sessions/<uuid:pk>/", session_views.SessionView, "auth-session"),
    *_route_with_and_without_slash("auth/tokens/", views.TokenListView, "auth-tokens"),
    *_route_with_and_without_slash("auth/tokens/<uuid:pk>/", views.TokenView, "auth-token"),
]
