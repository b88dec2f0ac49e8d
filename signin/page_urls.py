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
    path("sign-in/<slug:key>/logout/", pages.receive_logout, name="provider-logout"),
    path("preferences/second-factor/", pages.second_factor_page, name="second-factor-page"),
    path("preferences/second-factor/set-up/", pages.set_up_page, name="second-factor-set-up"),
    path("preferences/second-factor/disable/", pages.disable_page, name="second-factor-disable"),
    path("preferences/second-factor/codes/", pages.recovery_codes_page, name="second-factor-codes"),
    path("preferences/second-factor/prove/", pages.prove_page, name="second-factor-prove"),
    path("preferences/second-factor/passkeys/new/", pages.new_passkey_page, name="passkey-new"),
    path(
        "preferences/second-factor/passkeys/<uuid:pk>/remove/",
        pages.remove_passkey_page,
        name="passkey-remove",
    ),
    path("service-accounts/", pages.service_account_page, name="service-account-page"),
    path("service-accounts/new/", pages.new_service_account_page, name="service-account-new"),
    path("service-accounts/<uuid:pk>/", pages.service_account_detail_page, name="service-account-show"),
    path("service-accounts/<uuid:pk>/edit/", pages.edit_service_account_page, name="service-account-edit"),
    path(
        "service-accounts/<uuid:pk>/remove/", pages.remove_service_account_page, name="service-account-remove"
    ),
    path("service-accounts/<uuid:pk>/tokens/new/", pages.new_service_token_page, name="service-token-new"),
    path(
        "service-accounts/<uuid:pk>/tokens/<uuid:token_pk>/revoke/",
        pages.revoke_service_token_page,
        name="service-token-revoke",
    ),
]
