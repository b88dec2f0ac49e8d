"""What the token of a service account may do: one tenant, a role, scopes, and addresses.

The limits are checked where a token is accepted, before any view runs, so a view cannot forget them. What is not known here is
refused: only views of rows of one tenant are open to such tokens, and only requests of the token's scopes. The role is a limit of
the scope of the request (tenants/scoping.py), which finds the token as `limiting_token` of the user.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request

from .client_address import client_address
from .domain_errors import ForbiddenError
from .models import ApiToken


class TokenScope(models.TextChoices):
    """What a token may be used for. Each scope includes reading."""

    READ = "read", _("read")
    CONTROL = (
        "control",
        _("control"),
    )  # everything that changes something, except for services and their deployment
    DEPLOY = "deploy", _("deploy")  # services, versions, hosts and deployments


SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# The roles of a request that the scopes of its token allow to read alone; see tenants/scoping.py. An auditor's changes nothing.
READING_ROLE, AUDITING_ROLE = "viewer", "auditor"
# The room whose views need the scope `deploy`.
DEPLOY_ROOM = "deploys"


def require_within_limits(token: ApiToken, request: Request) -> None:
    """Refuse a request that the limits of its token do not allow, with 403 `address_not_allowed` or `scope_missing`.

    The token of a person passes. A view is open to limited tokens if it is `tenant_scoped` and not `people_only`, or says with
    `limited_tokens` that it shows nothing but the caller.
    """
    if token.tenant_id is None:
        return
    if token.allowed_addresses and not _is_allowed(client_address(request), token.allowed_addresses):
        raise ForbiddenError(
            "address_not_allowed",
            _("This token is not accepted from %(address)s.") % {"address": client_address(request)},
        )
    view: Any = (request.parser_context or {}).get("view")
    is_open = getattr(view, "tenant_scoped", False) and not getattr(view, "people_only", False)
    if not is_open and not getattr(view, "limited_tokens", False):
        raise ForbiddenError("people_only", _("Service accounts can't do this. It is for people."))
    room = type(view).__module__.partition(".")[0]
    needed = TokenScope.DEPLOY if room == DEPLOY_ROOM else TokenScope.CONTROL
    if needed not in token.scopes:
        if request.method not in SAFE_METHODS:
            raise ForbiddenError(
                "scope_missing",
                _("The token lacks the scope '%(scope)s'.") % {"scope": needed.value},
                scope=needed.value,
            )
        # What takes a higher role to read is a secret that lets control: a console, a password, user data.
        if token.role != AUDITING_ROLE:
            token.role = READING_ROLE
    token.user.limiting_token = token


def _is_allowed(address: str, networks: list[str]) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    return any(parsed in ipaddress.ip_network(network) for network in networks)
