"""Keystone v3: tokens by password, application credential or token, the catalog, and application credentials."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from typing import Any

from .clock import format_precise
from .http_messages import HttpError, Request, Response
from .state import Resource, State, Token

# (type, name, path in the region)
SERVICES = (
    ("compute", "nova", "compute/v2.1"),
    ("volumev3", "cinderv3", "volume/v3/{project_id}"),
    ("block-storage", "cinder", "volume/v3/{project_id}"),
    ("image", "glance", "image"),
    ("network", "neutron", "network"),
)

_OLD_NAMES = {"block-store", "volume", "volumev2", "volumev3"}
_PATHS = {"/v3/auth/tokens", "/v3/auth/catalog", "/v3/auth/projects", "/v3/projects", "/v3/regions"}


def handle(state: State, request: Request, path: str, base: str) -> Response:  # noqa: C901 - a table of paths.
    """Answer a request below `/identity`. `path` begins with a slash."""
    path = path.rstrip("/")
    version: dict[str, Any] = {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": f"{base}/identity/v3/"}],
        "media-types": [],
    }
    if path == "":
        return Response(300, {"versions": {"values": [version]}})
    if path == "/v3":
        return Response(200, {"version": version})
    if path == "/v3/auth/tokens" and request.method == "POST":
        token = _authenticate(state, request.json())
        return Response(201, _build_token_body(state, token, base), {"X-Subject-Token": token.id})
    match = re.fullmatch(r"/v3/users/([^/]+)/application_credentials(?:/([^/]+))?", path)
    if match is None and path not in _PATHS:
        raise _build_error(404, "Not Found", f"Could not find {path}.")
    token = require_token(state, request)
    if path == "/v3/auth/tokens":
        return _show_or_revoke_token(state, request, token, base)
    if path == "/v3/auth/catalog":
        return Response(200, {"catalog": build_catalog(state, token, base), "links": {}})
    if path == "/v3/auth/projects":
        mine = [p for p in state.projects.values() if state.list_roles(token.user_id, p["id"])]
        return Response(200, {"projects": mine, "links": {}})
    if path == "/v3/projects":
        _require_admin(token)
        return Response(200, {"projects": list(state.projects.values()), "links": {}})
    if path == "/v3/regions":
        return Response(
            200, {"regions": [{"id": name, "description": ""} for name in state.regions], "links": {}}
        )
    if match:
        return _handle_application_credentials(state, request, token, match[1], match[2])
    raise _build_error(404, "Not Found", f"Could not find {path}.")


def require_token(state: State, request: Request) -> Token:
    """Return the caller's token. Raises `HttpError` 401 when it is unknown or expired, as every service does."""
    token = state.tokens.get(request.headers.get("x-auth-token", ""))
    if token is None or token.expires <= state.clock.now():
        raise build_unauthorized_error()
    return token


def build_unauthorized_error() -> HttpError:
    """Return a 401 error, which deliberately does not reveal the reason."""
    return _build_error(401, "Unauthorized", "The request you have made requires authentication.")


def build_catalog(state: State, token: Token, base: str) -> list[Resource]:
    """Return the catalog: the services and their endpoints in every region."""
    if token.project_id is None:
        return []
    if state.quirks.catalog != "usual":
        replaced: list[Resource] = state.quirks.catalog
        return replaced
    identity = [
        {"id": f"identity-{region}-{interface}", "interface": interface, "region": region, "region_id": region,
         "url": f"{base}/identity/v3"}
        for region in state.regions
        for interface in ("public", "internal", "admin")
    ]  # fmt: skip
    found: list[Resource] = [
        {"type": "identity", "name": "keystone", "id": "identity", "endpoints": identity}
    ]
    for service_type, name, path in SERVICES:
        official = get_official_type(service_type)
        endpoints = [
            state.quirks.rewrite_endpoint(
                {
                    "id": f"{service_type}-{region}-{interface}",
                    "interface": interface,
                    "region": region,
                    "region_id": region,
                    "url": f"{base}/{region}/{path.format(project_id=token.project_id)}",
                },
                token.project_id,
            )
            for region in state.regions
            if official not in state.missing_services.get(region, ())
            for interface in state.quirks.interfaces
        ]
        if endpoints:
            found.append({"type": service_type, "name": name, "id": service_type, "endpoints": endpoints})
    return found


def get_official_type(service_type: str) -> str:
    """Return the official service type for one that has older names too."""
    return "block-storage" if service_type in _OLD_NAMES else service_type


def _build_error(status: int, title: str, message: str) -> HttpError:
    headers = {"WWW-Authenticate": 'Keystone uri="/identity/v3"'} if status == 401 else {}
    return HttpError(
        Response(status, {"error": {"code": status, "message": message, "title": title}}, headers)
    )


def _require_admin(token: Token) -> None:
    if not token.is_admin:
        raise _build_error(403, "Forbidden", "You are not authorized to perform the requested action.")


def _authenticate(state: State, body: Resource) -> Token:  # noqa: C901 - one branch a method, as Keystone has.
    identity = (body.get("auth") or {}).get("identity")
    if not isinstance(identity, dict) or not identity.get("methods"):
        raise _build_error(400, "Bad Request", "'identity' is a required property")
    method = identity["methods"][0]
    scope = body["auth"].get("scope") or {}
    project: Resource | None = None
    roles: list[str] | None = None
    if method == "password":
        user = _find_user(state, identity.get("password", {}).get("user", {}))
        if user is None or user["password"] != identity["password"]["user"].get("password"):
            raise build_unauthorized_error()
    elif method == "application_credential":
        given = identity.get("application_credential") or {}
        credential = state.application_credentials.get(given.get("id") or "")
        if (
            credential is None
            or credential["secret"] != given.get("secret")
            or _is_expired(state, credential)
        ):
            raise build_unauthorized_error()
        user = state.users[credential["user_id"]]
        project = state.projects[credential["project_id"]]
        roles = credential["roles"]
    elif method == "token":
        old = state.tokens.get((identity.get("token") or {}).get("id") or "")
        if old is None or old.expires <= state.clock.now():
            raise build_unauthorized_error()
        user = state.users[old.user_id]
    else:
        raise build_unauthorized_error()
    if project is None and isinstance(scope, dict) and isinstance(scope.get("project"), dict):
        requested = scope["project"]
        project = state.projects.get(requested.get("id") or "") or next(
            (p for p in state.projects.values() if p["name"] == requested.get("name")), None
        )
        if project is None or not state.list_roles(user["id"], project["id"]):
            raise build_unauthorized_error()
    if roles is None:
        roles = state.list_roles(user["id"], project["id"]) if project else []
    now = state.clock.now()
    token = Token(
        # In the form of a real token, so that filters of tokens match it.
        # Not from the seeded generator: after a reset, an old token could equal another user's new one.
        id="gAAAAA" + secrets.token_hex(48),
        user_id=user["id"],
        user_name=user["name"],
        project_id=project["id"] if project else None,
        project_name=project["name"] if project else None,
        roles=roles,
        issued=now,
        expires=now + state.clock.token_seconds,
        method=method,
    )
    state.tokens[token.id] = token
    return token


def _is_expired(state: State, credential: Resource) -> bool:
    if not credential["expires_at"]:
        return False
    # Keystone writes UTC without an offset.
    end = datetime.fromisoformat(str(credential["expires_at"]))
    return (end if end.tzinfo else end.replace(tzinfo=UTC)).timestamp() <= state.clock.now()


def _find_user(state: State, given: Resource) -> Resource | None:
    if given.get("id"):
        return state.users.get(given["id"])
    domain = given.get("domain") or {}
    if domain.get("id", "default") != "default" or domain.get("name", "Default") != "Default":
        return None
    return state.find_user(given.get("name") or "")


def _build_token_body(state: State, token: Token, base: str) -> Resource:
    domain = {"id": "default", "name": "Default"}
    body: Resource = {
        "methods": [token.method],
        "user": {"domain": domain, "id": token.user_id, "name": token.user_name, "password_expires_at": None},
        "audit_ids": ["simulated"],
        "expires_at": format_precise(token.expires),
        "issued_at": format_precise(token.issued),
    }
    if token.project_id is not None:
        body["project"] = {"domain": domain, "id": token.project_id, "name": token.project_name}
        body["is_domain"] = False
        body["roles"] = [{"id": role, "name": role} for role in token.roles]
        body["catalog"] = build_catalog(state, token, base)
    return {"token": body}


def _show_or_revoke_token(state: State, request: Request, token: Token, base: str) -> Response:
    subject = state.tokens.get(request.headers.get("x-subject-token", token.id))
    if subject is None or subject.expires <= state.clock.now():
        raise _build_error(404, "Not Found", "Failed to validate token")
    if request.method == "DELETE":
        del state.tokens[subject.id]
        return Response(204)
    return Response(200, _build_token_body(state, subject, base), {"X-Subject-Token": subject.id})


def _handle_application_credentials(
    state: State, request: Request, token: Token, user_id: str, credential_id: str | None
) -> Response:
    if user_id != token.user_id:
        raise _build_error(403, "Forbidden", "You are not authorized to perform the requested action.")
    if credential_id is None and request.method == "GET":
        mine = [_hide_secret(c) for c in state.application_credentials.values() if c["user_id"] == user_id]
        return Response(200, {"application_credentials": mine, "links": {}})
    if credential_id is None and request.method == "POST":
        requested = request.json().get("application_credential") or {}
        if not requested.get("name"):
            raise _build_error(400, "Bad Request", "'name' is a required property")
        new: Resource = {
            "id": state.new_hex(),
            "name": requested["name"],
            "secret": requested.get("secret") or state.new_hex(),
            "user_id": user_id,
            "project_id": token.project_id,
            "roles": token.roles,
            "expires_at": requested.get("expires_at"),
            "description": requested.get("description"),
        }
        state.application_credentials[new["id"]] = new
        return Response(201, {"application_credential": {**_hide_secret(new), "secret": new["secret"]}})
    found = state.application_credentials.get(credential_id or "")
    if found is None or found["user_id"] != user_id:
        raise _build_error(404, "Not Found", f"Could not find Application Credential: {credential_id}.")
    if request.method == "DELETE":
        del state.application_credentials[found["id"]]
        return Response(204)
    return Response(200, {"application_credential": _hide_secret(found)})


def _hide_secret(credential: Resource) -> Resource:
    shown = {key: value for key, value in credential.items() if key != "secret"}
    return {
        **shown,
        "roles": [{"id": role, "name": role} for role in credential["roles"]],
        "unrestricted": False,
    }
