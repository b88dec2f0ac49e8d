"""The web pages of the room."""

from .code import sign_in_code_page
from .oidc import provider_callback_page, provider_sign_in_page
from .second_factor import disable_page, recovery_codes_page, second_factor_page, set_up_page
from .sign_in import AdminSignInView, SignInView, SignOutView, signed_out_page

__all__ = [
    "AdminSignInView",
    "SignInView",
    "SignOutView",
    "disable_page",
    "provider_callback_page",
    "provider_sign_in_page",
    "recovery_codes_page",
    "second_factor_page",
    "set_up_page",
    "sign_in_code_page",
    "signed_out_page",
]
