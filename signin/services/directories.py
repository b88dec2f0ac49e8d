"""The users of LDAP directories, who sign in with the form for passwords."""

from __future__ import annotations

import structlog
from django.conf import settings

from api.domain_errors import LoginBusyError
from tenants.models import User

from ..errors import SignInError
from ..ldap import authenticate
from ..waiting import provider_slot
from .identities import ProvenIdentity, get_or_create_user, read_groups

log = structlog.get_logger(__name__)


def find_directory_user(username: str, password: str) -> User | None:
    """Return the user whose name and password a directory accepts, or None. Local names never come here.

    Its attribute `directory` has the key of the directory. Raises `LoginBusyError`, 503 `directory_away`, when no directory accepts
    them and one does not answer: nobody is told that the password is wrong when nobody has checked it.
    """
    away: SignInError | None = None
    for server in settings.LDAP_SERVERS.values():
        plain = username.removesuffix(server.username_suffix)
        try:
            with provider_slot(server) as deadline:
                found = authenticate(server, plain, password, deadline)
            if found is None:
                continue
            user = get_or_create_user(
                ProvenIdentity(
                    provider=server.key,
                    issuer=f"ldap:{server.user_base}",
                    subject=found.subject,
                    username=found.username,
                    username_suffix=server.username_suffix,
                    groups=read_groups(list(found.groups)),
                    email=found.personal["email"],
                    first_name=found.personal["first_name"],
                    last_name=found.personal["last_name"],
                )
            )
        except SignInError as error:
            log.warning("directory_sign_in_failed", provider=server.key, code=error.code, reason=error.reason)
            if not error.is_attempt:
                away = error
            continue
        user.directory = server.key  # type: ignore[attr-defined] # For the event of the sign-in.
        return user
    if away is not None:
        raise LoginBusyError("directory_away", str(away.message))
    return None
