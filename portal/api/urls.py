from django.urls import path, re_path

from . import auth_views as views

# The contract writes `auth/login` without a slash; both forms are answered, so that no POST is redirected.
urlpatterns = [
    re_path(r"^auth/login/?$", views.Login.as_view(), name="auth-login"),
    re_path(r"^auth/logout/?$", views.Logout.as_view(), name="auth-logout"),
    re_path(r"^auth/me/?$", views.Me.as_view(), name="auth-me"),
    path("auth/tokens/", views.Tokens.as_view(), name="auth-tokens"),
    path("auth/tokens/<uuid:pk>/", views.Token.as_view(), name="auth-token"),
]
