"""Second factors: authenticator apps (TOTP, RFC 6238), passkeys, and recovery codes for users who have lost them."""

from __future__ import annotations

import base64
import hmac
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from api.domain_errors import ConflictError, InvalidFieldsError, UnauthenticatedError
from api.password_checks import count_code_check
from events.recording import record_event
from events.sign_ins import record_refusal
from security.encryption import decrypt, encrypt
from tenants.models import User

from ..models import Passkey, RecoveryCode, TotpDevice
from . import passkeys

# What all authenticator apps know: 20 bytes, SHA-1, six digits, 30 seconds.
SECRET_BYTES = 20
DIGITS = 6
INTERVAL_SECONDS = 30
# Intervals before and after the present one whose codes are accepted, because clocks of telephones differ.
TOLERATED_INTERVALS = 1
RECOVERY_CODES = 10
RECOVERY_CODE_BYTES = 10  # 16 characters of base32: 80 bits.
WRONG_CODE = _("This code is wrong, or was used already.")
# The factors that the portal itself asks for; a provider asks for its own.
OWN_FACTORS = frozenset({User.SecondFactor.TOTP, User.SecondFactor.PASSKEY})


@dataclass(frozen=True, slots=True)
class Proof:
    """What a user shows as the second factor: a code, or the answer of a passkey."""

    code: str = ""
    answer: passkeys.Answer | None = None


def begin_setup(user: User) -> None:
    """Create an authenticator app that does not count yet. Raises 409 `already_set_up` when the user has one."""
    with transaction.atomic():
        device = _lock_device(user)
        if device is not None and device.confirmed_at is not None:
            raise ConflictError("already_set_up", _("You already have a second factor. Disable it first."))
        secret = base64.b32encode(secrets.token_bytes(SECRET_BYTES)).decode()
        TotpDevice.objects.update_or_create(
            user=user, defaults={"encrypted_secret": encrypt(secret), "last_interval": 0}
        )


def find_unconfirmed_secret(user: User) -> str:
    """Return the secret of an app that is being set up, in base32; "" when there is none."""
    device = TotpDevice.objects.filter(user=user, confirmed_at=None).first()
    return decrypt(device.encrypted_secret) if device else ""


def build_provisioning_uri(user: User, secret: str) -> str:
    """Return what the QR code contains: the format of authenticator apps."""
    issuer = settings.SECOND_FACTOR_ISSUER
    label = quote(f"{issuer}:{user.get_username()}")
    parameters = {"secret": secret, "issuer": issuer, "digits": DIGITS, "period": INTERVAL_SECONDS}
    return f"otpauth://totp/{label}?{urlencode(parameters, quote_via=quote)}"


def confirm_setup(user: User, code: str) -> list[str]:
    """Complete the set-up with a code of the app; return the recovery codes, which are stored nowhere. Raises 400, 409.

    Returns no codes to a user who has some already, because a passkey came first.
    """
    with count_code_check(user.get_username()) as check, _change_factors(user):
        device = _lock_device(user)
        if device is None or device.confirmed_at is not None:
            raise ConflictError("not_begun", _("No set-up has begun. Start again."))
        check.passed = _accept_totp(device, code)
        if check.passed:
            device.confirmed_at = timezone.now()
            device.save(update_fields=["confirmed_at"])
            return _create_missing_codes(user)
    raise InvalidFieldsError({"code": [WRONG_CODE]})


def disable_app(user: User, proof: Proof) -> None:
    """Remove the authenticator app of a user, who proves a factor once more. Raises 400 for a wrong proof."""
    require_proof(user, proof)
    with _change_factors(user):
        TotpDevice.objects.filter(user=user).delete()


def add_passkey(user: User, answer: passkeys.Answer | None, name: str) -> list[str]:
    """Add the passkey that a browser has created; return the recovery codes if it is the first factor of the user.

    Raises 400, also without an answer, and 409 `too_many`.
    """
    if answer is None:
        raise InvalidFieldsError({"passkey": [passkeys.NOT_ACCEPTED]})
    with _change_factors(user):
        passkey = passkeys.create_passkey(user, answer, name)
        _record_passkey("user.passkey_added", user, passkey)
        return _create_missing_codes(user)


def remove_passkey(user: User, pk: UUID, proof: Proof) -> None:
    """Remove a passkey of a user, who proves a factor once more. Raises 400 for a wrong proof. A passkey that is gone is no error."""
    require_proof(user, proof)
    with _change_factors(user):
        passkey = Passkey.objects.filter(user=user, pk=pk).first()
        if passkey is not None:
            _record_passkey("user.passkey_removed", user, passkey)
            passkey.delete()


def remove(user: User) -> None:
    """Remove all second factors of a user: by an administrator, after they and the recovery codes were lost."""
    with _change_factors(user):
        TotpDevice.objects.filter(user=user).delete()
        Passkey.objects.filter(user=user).delete()


def renew_recovery_codes(user: User, proof: Proof) -> list[str]:
    """Replace the recovery codes of a user, who proves a factor once more; return the new ones. Raises 400 for a wrong proof."""
    require_proof(user, proof)
    with transaction.atomic():
        record_event(
            "user.recovery_codes_renewed",
            tenant_id=None,
            object_type="user",
            object_id=user.pk,
            object_name=user.get_username(),
        )
        return _create_recovery_codes(user)


def count_recovery_codes(user: User) -> int:
    """Return the number of codes that were not used."""
    return RecoveryCode.objects.filter(user=user, used_at=None).count()


def check_code(user: Any, code: str) -> str:
    """Return the factor that a code proves at a sign-in, as `check_proof` does. Passkeys are for browsers alone."""
    return check_proof(user, Proof(code))


def check_proof(user: Any, proof: Proof) -> str:
    """Return the factor that is proved at a sign-in: "totp", "passkey" or "recovery_code"; "" for a user who has none here.

    Raises 401 `code_required` without a proof, 401 `wrong_code`, and 429 after too many wrong ones. The caller has checked the
    password.
    """
    if user.second_factor not in OWN_FACTORS:
        return ""
    if not proof.code and proof.answer is None:
        raise UnauthenticatedError(
            "code_required", _("Send the code of your authenticator app, or a recovery code, as `code`.")
        )
    factor = _verify_proof(user, proof)
    if not factor:
        record_refusal(user=user, method="password", reason="wrong_code")
        raise UnauthenticatedError("wrong_code", passkeys.NOT_ACCEPTED if proof.answer else WRONG_CODE)
    return factor


def require_proof(user: User, proof: Proof) -> None:
    """Refuse a wrong proof with 400, and one after too many wrong ones with 429."""
    if not _verify_proof(user, proof):
        raise InvalidFieldsError({"code": [passkeys.NOT_ACCEPTED if proof.answer else WRONG_CODE]})


def _verify_proof(user: User, proof: Proof) -> str:
    """Return the factor that is proved, and use the proof up; "" for a wrong one."""
    factor = ""
    with count_code_check(user.get_username()) as check, transaction.atomic():
        if proof.answer is not None:
            factor = "passkey" if passkeys.verify_answer(user, proof.answer) else ""
        else:
            # The lock lets one of two requests with the same code pass.
            device = _lock_device(user)
            if device is not None and device.confirmed_at is not None and _accept_totp(device, proof.code):
                factor = "totp"
            elif _use_recovery_code(user, proof.code):
                factor = "recovery_code"
        check.passed = bool(factor)
    return factor


def _create_missing_codes(user: User) -> list[str]:
    """Return new recovery codes for a user who has none; an empty list for any other."""
    has_codes = RecoveryCode.objects.filter(user=user).exists()
    return [] if has_codes else _create_recovery_codes(user)


@contextmanager
def _change_factors(user: User) -> Iterator[None]:
    """Change a user's factors in a transaction, and write afterwards which one they have.

    The user's row is locked first, so that of two changes at once the second sees what the first has left: otherwise each of
    two removals would take the other factor for one that stays.
    """
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        yield
        _mark_factor(user)


def _mark_factor(user: User) -> None:
    """Write which factor the user has into their row. The recovery codes go with the last factor."""
    factor = ""
    if TotpDevice.objects.filter(user=user).exclude(confirmed_at=None).exists():
        factor = User.SecondFactor.TOTP
    elif Passkey.objects.filter(user=user).exists():
        factor = User.SecondFactor.PASSKEY
    else:
        RecoveryCode.objects.filter(user=user).delete()
    rows = User.objects.filter(pk=user.pk)
    # A factor of the provider is noted at the next sign-in with it.
    (rows if factor else rows.filter(second_factor__in=OWN_FACTORS)).update(second_factor=factor)


def _record_passkey(code: str, user: User, passkey: Passkey) -> None:
    record_event(
        code,
        tenant_id=None,
        object_type="user",
        object_id=user.pk,
        object_name=user.get_username(),
        parameters={"passkey": passkey.name},
    )


def _lock_device(user: User) -> TotpDevice | None:
    return TotpDevice.objects.select_for_update().filter(user=user).first()


def _accept_totp(device: TotpDevice, code: str) -> bool:
    """Return whether a code is that of an interval around the present, later than the last accepted one."""
    code = code.replace(" ", "")
    if len(code) != DIGITS or not code.isascii() or not code.isdigit():
        return False
    # Short keys are refused by the library for new uses; 20 bytes is what RFC 4226 recommends.
    totp = TOTP(base64.b32decode(decrypt(device.encrypted_secret)), DIGITS, SHA1(), INTERVAL_SECONDS)  # noqa: S303
    present = int(time.time()) // INTERVAL_SECONDS
    # A last interval in the future was written before the clock was set back: it must not lock the user out until then.
    last = device.last_interval if device.last_interval <= present + TOLERATED_INTERVALS else 0
    for interval in range(present - TOLERATED_INTERVALS, present + TOLERATED_INTERVALS + 1):
        expected = totp.generate(interval * INTERVAL_SECONDS)
        if interval > last and hmac.compare_digest(expected, code.encode()):
            device.last_interval = interval
            device.save(update_fields=["last_interval"])
            return True
    return False


def _create_recovery_codes(user: User) -> list[str]:
    """Replace the recovery codes; return the new ones in groups of four characters."""
    RecoveryCode.objects.filter(user=user).delete()
    codes = [
        base64.b32encode(secrets.token_bytes(RECOVERY_CODE_BYTES)).decode() for _ in range(RECOVERY_CODES)
    ]
    RecoveryCode.objects.bulk_create(RecoveryCode(user=user, digest=_digest(code)) for code in codes)
    return ["-".join(code[start : start + 4] for start in range(0, len(code), 4)) for code in codes]


def _use_recovery_code(user: User, code: str) -> bool:
    plain = code.replace("-", "").replace(" ", "").upper()
    unused = RecoveryCode.objects.filter(user=user, digest=_digest(plain), used_at=None)
    return bool(unused.update(used_at=timezone.now()))


def _digest(code: str) -> str:
    return salted_hmac("signin.recovery_code", code, algorithm="sha256").hexdigest()
