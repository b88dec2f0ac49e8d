"""The challenges for passkeys: sent with a page, kept in the session, and answered once by a form of that page."""

from __future__ import annotations

import ipaddress
import json
import time
from typing import Any, Literal
from urllib.parse import urlsplit

from django.http import HttpRequest

from api.auth_serializers import MAX_CODE_LENGTH
from tenants.models import User

from .services import passkeys
from .services.passkeys import Answer, Site
from .services.second_factors import Proof

Purpose = Literal["register", "check"]
CHALLENGE_SECONDS = 600
# An answer has a key, an attestation and a signature: some hundreds of bytes, of which the browser removes the attestation.
MAX_ANSWER_LENGTH = 20_000
_KEY = "passkey_challenge_"
# Stands for an answer to no challenge of this session: no key has signed it.
_NO_ANSWER = Answer(Site("", ""), {}, {})


def find_site(request: HttpRequest) -> Site | None:
    """Return the site that the browser is on; None where it has no name: passkeys are not for IP addresses."""
    origin = request.build_absolute_uri("/").rstrip("/")
    host = urlsplit(origin).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return Site(host, origin) if host else None
    return None


def offer_registration(request: HttpRequest, user: User) -> str:
    """Return the options for a new passkey as JSON; "" where the site can have none. Raises 409 `too_many`."""
    site = find_site(request)
    if site is None:
        return ""
    options, state = passkeys.begin_registration(user, site)
    return _keep(request, user, "register", options, state)


def offer_check(request: HttpRequest, user: User) -> str:
    """Return the options for the use of a passkey as JSON; "" for a user without one, and where the site can have none."""
    site = find_site(request)
    begun = passkeys.begin_check(user, site) if site is not None else None
    return _keep(request, user, "check", *begun) if begun is not None else ""


def take_answer(request: HttpRequest, user: User, purpose: Purpose) -> Answer | None:
    """Return the answer in a form to the challenge of the session, which is thereby used up; None when there is none."""
    kept = request.session.pop(_KEY + purpose, None)
    text, site = request.POST.get("passkey", ""), find_site(request)
    if kept is None or site is None or not 0 < len(text) <= MAX_ANSWER_LENGTH:
        return None
    if kept["user"] != str(user.pk) or not 0 <= time.time() - kept["at"] < CHALLENGE_SECONDS:
        return None
    try:
        credential = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return Answer(site, kept["state"], credential) if isinstance(credential, dict) else None


def read_proof(request: HttpRequest, user: User) -> Proof:
    """Return the factor that a form shows: the answer of a passkey if the browser has sent one, else the code."""
    if request.POST.get("passkey"):
        return Proof(answer=take_answer(request, user, "check") or _NO_ANSWER)
    return Proof(code=request.POST.get("code", "")[:MAX_CODE_LENGTH].strip())


def _keep(request: HttpRequest, user: User, purpose: Purpose, options: dict[str, Any], state: Any) -> str:
    request.session[_KEY + purpose] = {"user": str(user.pk), "at": time.time(), "state": state}
    return json.dumps(options)
