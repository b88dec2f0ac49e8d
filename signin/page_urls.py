"""Addresses of the pages of the room."""

from django.urls import path

from . import pages

urlpatterns = [
    path("login/", pages.SignInView.as_view(), name="login"),
    path("logout/", pages.SignOutView.as_view(), name="logout"),
    path("signed-out/", pages.signed_out_page, name="signed-out"),
    path("sign-in/<slug:key>/", pages.provider_sign_in_page, name="provider-sign-in"),
    path("sign-in/<slug:key>/callback/", pages.provider_callback_page, name="provider-callback"),
]
