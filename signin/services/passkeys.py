"""Passkeys (WebAuthn): keys of a telephone, a computer or a security key that sign a challenge of the portal.

The library builds the challenges and verifies signatures. What browsers send is from outside: it is bounded and may be anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import IntegrityError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from fido2.cose import UnsupportedKey
from fido2.server import Fido2Server
from fido2.utils import websafe_encode
from fido2.webauthn import (
    AttestedCredentialData,
    AuthenticationResponse,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialUserEntity,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from api.domain_errors import ConflictError, InvalidFieldsError
from tenants.models import User

from ..models import Passkey

MAX_PASSKEYS = 10
NOT_ACCEPTED = _("The passkey was not accepted. Try again.")


@dataclass(frozen=True, slots=True)
class Site:
    """The site that a passkey is for: its host without the port, and the origin that browsers name."""

    host: str
    origin: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a browser has answered to a challenge. `state` is what the server kept of the challenge."""

    site: Site
    state: Mapping[str, Any]
    credential: Mapping[str, Any]


def begin_registration(user: User, site: Site) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options for the browser and the state to keep. Raises 409 `too_many` when the user has as many as allowed."""
    known = _list_credentials(user)
    if len(known) >= MAX_PASSKEYS:
        raise ConflictError(
            "too_many", _("You have %(count)s passkeys. Remove one first.") % {"count": len(known)}
        )
    entity = PublicKeyCredentialUserEntity(
        # Authenticators store it, so it must not be a name; and it is the same for all keys of a user.
        id=hashlib.sha256(user.pk.bytes).digest(),
        name=user.get_username(),
        display_name=user.get_username(),
    )
    options, state = _build_server(site).register_begin(
        entity,
        known,
        resident_key_requirement=ResidentKeyRequirement.DISCOURAGED,
        user_verification=UserVerificationRequirement.PREFERRED,
    )
    return dict(options)["publicKey"], state


def create_passkey(user: User, answer: Answer, name: str) -> Passkey:
    """Store the key that a browser has created. Raises 400 with an error of `passkey`, 409 `too_many`.

    The caller holds a lock of the user, so that the number of keys is bounded.
    """
    try:
        data = _build_server(answer.site).register_complete(answer.state, answer.credential)
    except Exception as error:
        # The library raises errors of every kind about what a browser sends.
        raise InvalidFieldsError({"passkey": [NOT_ACCEPTED]}) from error
    credential = data.credential_data
    if credential is None or isinstance(credential.public_key, UnsupportedKey):
        raise InvalidFieldsError({"passkey": [NOT_ACCEPTED]})
    if Passkey.objects.filter(credential_id=_encode_id(credential)).exists():
        raise InvalidFieldsError({"passkey": [NOT_ACCEPTED]})
    if Passkey.objects.filter(user=user).count() >= MAX_PASSKEYS:
        raise ConflictError(
            "too_many", _("You have %(count)s passkeys. Remove one first.") % {"count": MAX_PASSKEYS}
        )
    try:
        return Passkey.objects.create(
            user=user,
            name=name,
            credential_id=_encode_id(credential),
            credential=bytes(credential),
            sign_count=data.counter,
        )
    except IntegrityError as error:  # Another user has added the same key at the same moment.
        raise InvalidFieldsError({"passkey": [NOT_ACCEPTED]}) from error


def begin_check(user: User, site: Site) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return the options for the browser and the state to keep; None for a user without a passkey."""
    known = _list_credentials(user)
    if not known:
        return None
    options, state = _build_server(site).authenticate_begin(
        known, user_verification=UserVerificationRequirement.PREFERRED
    )
    return dict(options)["publicKey"], state


def verify_answer(user: User, answer: Answer) -> bool:
    """Return whether one of the user's passkeys has signed the challenge.

    A key that counts its signatures must have counted on: the same count again is that of a copy of the key, or of an answer
    that was used before. The statement that compares is the one that writes, so only one of two equal answers passes.
    """
    known = _list_credentials(user)
    try:
        used = _build_server(answer.site).authenticate_complete(answer.state, known, answer.credential)
        response = AuthenticationResponse.from_dict(answer.credential).response
        count = response.authenticator_data.counter
    except Exception:  # noqa: BLE001 - the library raises errors of every kind about what a browser sends.
        return False
    row = Passkey.objects.filter(user=user, credential_id=_encode_id(used))
    row = row.filter(sign_count__lt=count) if count else row.filter(sign_count=0)
    return bool(row.update(sign_count=count, last_used_at=timezone.now()))


def _list_credentials(user: User) -> list[AttestedCredentialData]:
    return [AttestedCredentialData(bytes(one.credential)) for one in Passkey.objects.filter(user=user)]


def _encode_id(credential: AttestedCredentialData) -> str:
    return websafe_encode(credential.credential_id)


def _build_server(site: Site) -> Fido2Server:
    """Return a server for one site. Its own rule for origins would accept those of subdomains, too."""
    return Fido2Server(
        PublicKeyCredentialRpEntity(id=site.host, name=settings.SECOND_FACTOR_ISSUER),
        verify_origin=lambda origin: origin == site.origin,
    )
