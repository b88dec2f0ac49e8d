"""The web pages of the room."""

from .oidc import provider_callback_page, provider_sign_in_page
from .sign_in import SignInView, SignOutView, signed_out_page

__all__ = [
    "SignInView",
    "SignOutView",
    "provider_callback_page",
    "provider_sign_in_page",
    "signed_out_page",
]
