"""The web pages of the room."""

from .back_channel import receive_logout
from .code import sign_in_code_page
from .oidc import provider_callback_page, provider_sign_in_page
from .passkeys import new_passkey_page, remove_passkey_page
from .second_factor import (
    disable_page,
    prove_page,
    recovery_codes_page,
    second_factor_page,
    set_up_page,
)
from .service_accounts import (
    edit_service_account_page,
    new_service_account_page,
    new_service_token_page,
    remove_service_account_page,
    revoke_service_token_page,
    service_account_detail_page,
    service_account_page,
)
from .sign_in import AdminSignInView, SignInView, SignOutView, signed_out_page

__all__ = [
    "AdminSignInView",
    "SignInView",
    "SignOutView",
    "disable_page",
    "edit_service_account_page",
    "new_passkey_page",
    "new_service_account_page",
    "new_service_token_page",
    "prove_page",
    "provider_callback_page",
    "provider_sign_in_page",
    "receive_logout",
    "recovery_codes_page",
    "remove_passkey_page",
    "remove_service_account_page",
    "revoke_service_token_page",
    "second_factor_page",
    "service_account_detail_page",
    "service_account_page",
    "set_up_page",
    "sign_in_code_page",
    "signed_out_page",
]
