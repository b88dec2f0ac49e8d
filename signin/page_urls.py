"""Addresses of the pages of the room."""

from django.urls import path

from . import pages

urlpatterns = [
    path("login/", pages.SignInView.as_view(), name="login"),
    path("login/code/", pages.sign_in_code_page, name="sign-in-code"),
    path("logout/", pages.SignOutView.as_view(), name="logout"),
    path("signed-out/", pages.signed_out_page, name="signed-out"),
    path("sign-in/<slug:key>/", pages.provider_sign_in_page, name="provider-sign-in"),
    path("sign-in/<slug:key>/callback/", pages.provider_callback_page, name="provider-callback"),
    path("preferences/second-factor/", pages.second_factor_page, name="second-factor-page"),
    path("preferences/second-factor/set-up/", pages.set_up_page, name="second-factor-set-up"),
    path("preferences/second-factor/disable/", pages.disable_page, name="second-factor-disable"),
    path("preferences/second-factor/codes/", pages.recovery_codes_page, name="second-factor-codes"),
]
