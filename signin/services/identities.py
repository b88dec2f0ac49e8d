"""Find or create the user of an identity that a provider has proved."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from api.database_errors import violated_constraint
from events.recording import record_event
from tenants.models import User

from ..errors import SignInError
from ..models import ExternalIdentity
from .roles import apply_rules
from .second_factors import OWN_FACTORS

MAX_GROUPS = 2000
MAX_GROUP_LENGTH = 500
_NOT_IN_USERNAMES = re.compile(r"[^\w.@+-]+")


@dataclass(frozen=True, kw_only=True)
class ProvenIdentity:
    """What a provider has proved about a user who signs in."""

    provider: str
    issuer: str
    subject: str
    username: str
    username_suffix: str
    email: str = ""
    first_name: str = ""
    last_name: str = ""
    groups: tuple[str, ...] = ()
    has_second_factor: bool = False


def get_or_create_user(identity: ProvenIdentity) -> User:
    """Return the user of an identity, with the names and roles that the provider gives now. Raises `SignInError`.

    A new user has no role but by rules. An existing user of the same name or e-mail address is somebody else.
    """
    for _attempt in range(3):
        try:
            with transaction.atomic():
                return _get_or_create(identity)
        except IntegrityError as error:
            # The first two sign-ins of the user, or of two users with one name, at the same time.
            if violated_constraint(error) not in {
                "external_identity_of_one_user",
                "tenants_user_username_key",
            }:
                raise
    raise SignInError(
        "busy", _("You signed in several times at once. Start again."), status=409, is_attempt=False
    )


def _get_or_create(identity: ProvenIdentity) -> User:
    known = (
        ExternalIdentity.objects.select_for_update(of=("self",))
        .select_related("user")
        .filter(provider=identity.provider, issuer=identity.issuer, subject=identity.subject)
        .first()
    )
    if known is None:
        user = _create_user(identity)
        known = ExternalIdentity(
            user=user, provider=identity.provider, issuer=identity.issuer, subject=identity.subject
        )
        record_event(
            "user.provided",
            tenant_id=None,
            object_type="user",
            object_id=user.pk,
            object_name=user.username,
            parameters={"provider": identity.provider, "subject": identity.subject},
        )
    elif not known.user.is_active:
        raise SignInError(
            "user_disabled", _("Your account is disabled. Ask a platform administrator."), status=403
        )
    else:
        user = known.user
        _update_user(user, identity)
    _follow_second_factor(user, identity)
    known.groups = list(identity.groups)
    known.last_used_at = timezone.now()
    known.save()
    apply_rules(user, identity.provider, identity.groups)
    return user


def _create_user(identity: ProvenIdentity) -> User:
    user = User(username=_find_free_username(identity), **_personal_fields(identity))
    user.set_unusable_password()
    user.save(force_insert=True)
    return user


def _update_user(user: User, identity: ProvenIdentity) -> None:
    changed = {
        name: value for name, value in _personal_fields(identity).items() if getattr(user, name) != value
    }
    if changed:
        for name, value in changed.items():
            setattr(user, name, value)
        user.save(update_fields=[*changed])


def _follow_second_factor(user: User, identity: ProvenIdentity) -> None:
    """Note whether the provider demands a second factor. A factor of the portal stays what it is."""
    factor = User.SecondFactor.PROVIDER if identity.has_second_factor else ""
    if user.second_factor not in {factor, *OWN_FACTORS}:
        user.second_factor = factor
        user.save(update_fields=["second_factor"])


def _personal_fields(identity: ProvenIdentity) -> dict[str, Any]:
    """Return the columns that follow the provider. A column that it does not tell is left out, and keeps its value."""
    email = identity.email[:254]
    try:
        validate_email(email)
    except ValidationError:
        email = ""
    found = {
        "email": email,
        "first_name": identity.first_name.replace("\x00", "")[:150],
        "last_name": identity.last_name.replace("\x00", "")[:150],
    }
    return {name: value for name, value in found.items() if value}


def _find_free_username(identity: ProvenIdentity) -> str:
    """Return the name at the provider with the provider's suffix; with a digest of the subject if that name is taken."""
    digest = hashlib.sha256(f"{identity.issuer}\n{identity.subject}".encode()).hexdigest()[:8]
    plain = _NOT_IN_USERNAMES.sub("", identity.username)[:100] or f"user-{digest}"
    name = f"{plain}{identity.username_suffix}"
    if User.objects.filter(username__iexact=name).exists():
        return f"{plain}-{digest}{identity.username_suffix}"
    return name


def read_groups(value: Any) -> tuple[str, ...]:
    """Return the groups of a claim or attribute: a list of texts, or one text; anything else counts as no group."""
    values: Sequence[Any] = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    texts = (
        one
        for one in values
        if isinstance(one, str) and 0 < len(one) <= MAX_GROUP_LENGTH and "\x00" not in one
    )
    return tuple(dict.fromkeys(texts))[:MAX_GROUPS]


def find_claim(claims: Mapping[str, Any], path: str) -> Any:
    """Return the value of a claim; `realm_access.roles` is the member of an object, unless a claim has that very name."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value
