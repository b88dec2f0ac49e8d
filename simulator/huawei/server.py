"""The server of the simulated Huawei Cloud: all services at one address, behind the gateway that checks signatures."""

from __future__ import annotations

import threading
import uuid
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs

from ..http_messages import HttpError, Request, Response
from ..http_server import HttpServer
from .cloud import AccessKey, HuaweiCloud
from .listings import find_kind, list_page
from .signature import TOLERANCE, build_canonical_request, is_signed, read_authorization, read_signing_time


class HuaweiServer:
    """The server, on a free port of this machine, and the cloud that it shows. Each test may give it another cloud."""

    def __init__(self) -> None:
        self.cloud = HuaweiCloud()
        self._server = HttpServer(("127.0.0.1", 0), self._answer)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        """Return the address of all its services."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: Request) -> Response:
        now = datetime.now(UTC) + timedelta(seconds=self.cloud.clock_offset)
        try:
            answer = _route(self.cloud, request, now)
        except HttpError as error:
            answer = error.answer
        answer.headers.setdefault("X-Request-Id", uuid.uuid4().hex)
        answer.headers.setdefault("Date", format_datetime(now, usegmt=True))
        return answer


def refuse(status: int, code: str, message: str) -> Response:
    """Return an answer by which the gateway, and most services, refuse a request."""
    return Response(status, {"error_code": code, "error_msg": message, "request_id": uuid.uuid4().hex})


def _route(cloud: HuaweiCloud, request: Request, now: datetime) -> Response:
    found = find_kind(request.path)
    action = found[0].action if found else f"iam:{request.path.rsplit('/', 1)[-1]}"
    cloud.requested.append(action)
    if (answer := cloud.answer(action, cloud.requested.count(action))) is not None:
        return answer
    access_key = _authenticate(cloud, request, now)
    if cloud.throttled > 0:
        cloud.throttled -= 1
        words = "The throttling threshold has been reached: policy user over ratelimit,limit:10,time:1 minute"
        raise HttpError(refuse(429, "APIGW.0308", words))
    if cloud.is_frozen:
        raise HttpError(refuse(403, "APIC.7108", "Access denied because your account is frozen."))
    if found is None:
        return Response(body=_answer_for_account(cloud, request, access_key))
    kind, project_id = found
    project = cloud.find_project(project_id or request.headers.get("x-project-id", ""))
    if project is None:
        raise HttpError(refuse(403, "APIGW.0310", "The project is unavailable."))
    if project.name in cloud.closed:
        words = "The IAM user is forbidden in the currently selected region"
        raise HttpError(refuse(403, "APIGW.0802", words))
    if action in cloud.denied:
        words = f"Policy doesn't allow {action} to be performed."
        raise HttpError(Response(403, {"error": {"code": "403", "message": words}}))
    query = parse_qs(request.query_text, keep_blank_values=True)
    return Response(body=list_page(kind, project.objects.get(kind.kind, {}), query, cloud.page_size))


def _authenticate(cloud: HuaweiCloud, request: Request, now: datetime) -> AccessKey:
    """Return the key that signed a request. Raises `HttpError` as the gateway refuses it."""
    authorization, signed_at = read_authorization(request), read_signing_time(request)
    if authorization is None or signed_at is None:
        raise _unauthorized("APIGW.0301", "Incorrect IAM authentication information: x-auth-token not found")
    if abs(now - signed_at) > TOLERANCE:
        words = (
            "Incorrect app authentication information: signature expired, signature time:"
            f"{signed_at:%Y%m%dT%H%M%SZ},server time:{now:%Y%m%dT%H%M%SZ}"
        )
        raise _unauthorized("APIGW.0303", words)
    key = cloud.keys.get(authorization.access_key)
    if key is None or not key.is_enabled:
        words = f"Incorrect IAM authentication information: Get secretKey failed,ak:{authorization.access_key},err:ak not exist"
        raise _unauthorized("APIGW.0301", words)
    if not is_signed(request, authorization, key.secret):
        canonical = build_canonical_request(request, authorization.signed_headers).replace("\n", "|")
        words = f"Incorrect IAM authentication information: verify aksk signature fail, canonicalRequest:{canonical}"
        raise _unauthorized("APIGW.0301", words)
    if request.headers.get("x-security-token", "") != key.token:
        raise _unauthorized("APIGW.0301", "Incorrect IAM authentication information: decrypt token fail")
    return key


def _unauthorized(code: str, words: str) -> HttpError:
    return HttpError(refuse(401, code, words))


def _answer_for_account(cloud: HuaweiCloud, request: Request, key: AccessKey) -> dict[str, Any]:
    links = {"next": None, "previous": None, "self": f"https://iam.myhuaweicloud.com{request.path}"}
    if request.path == "/v3/regions":
        regions: list[dict[str, Any]] = [
            {"id": name, "type": "public", "description": "", "parent_region_id": None, "locales": {}}
            for name in cloud.regions
        ]
        return {"regions": regions, "links": links}
    if request.path == "/v3/auth/domains":
        domain = {"id": cloud.account_id, "name": cloud.account_name, "enabled": True, "description": ""}
        return {"domains": [domain] if cloud.tells_account else [], "links": links}
    if request.path == "/v3/auth/projects":
        # Each account has a project for its object storage, which is of no region.
        names = [(project.id, project.name, project.is_enabled) for project in cloud.projects.values()]
        projects = [
            {
                "id": project_id,
                "name": name,
                "enabled": is_enabled,
                "domain_id": cloud.account_id,
                "parent_id": cloud.account_id,
                "is_domain": False,
                "description": "",
            }
            for project_id, name, is_enabled in [*names, ("0" * 32, "MOS", True)]
        ]
        return {"projects": projects, "links": links}
    if request.path == "/v2/orders/suscriptions/resources/query" and request.method == "POST":
        return _answer_for_billing(cloud, request)
    if request.path == "/v3.0/OS-CREDENTIAL/securitytokens" and request.method == "POST":
        return _assume_agency(cloud, request, key)
    raise HttpError(
        refuse(404, "APIGW.0101", "The API does not exist or has not been published in the environment")
    )


def _answer_for_billing(cloud: HuaweiCloud, request: Request) -> dict[str, Any]:
    if cloud.paid_until is None:
        raise HttpError(refuse(403, "CBC.0151", "Access denied."))
    wanted = request.json()
    ids = [one for one in wanted.get("resource_ids") or cloud.paid_until if one in cloud.paid_until]
    data = [
        {
            "id": uuid.uuid4().hex,
            "resource_id": one,
            "is_main_resource": 1,
            "status": 2,
            "expire_time": cloud.paid_until[one],
        }
        for one in ids
    ]
    start = int(wanted.get("offset") or 0)
    return {"data": data[start : start + int(wanted.get("limit") or 10)], "total_count": len(data)}


def _assume_agency(cloud: HuaweiCloud, request: Request, key: AccessKey) -> dict[str, Any]:
    assumed = request.json().get("auth", {}).get("identity", {}).get("assume_role", {})
    if key.token or (assumed.get("agency_name"), assumed.get("domain_name")) not in cloud.agencies:
        words = "You are not authorized to perform the requested action."
        raise HttpError(Response(403, {"error": {"code": 403, "message": words, "title": "Forbidden"}}))
    access, secret, token = (uuid.uuid4().hex for _number in range(3))
    cloud.keys[access] = AccessKey(secret, token)
    expires = datetime.now(UTC) + timedelta(seconds=assumed.get("duration_seconds") or 900)
    return {
        "credential": {
            "access": access,
            "secret": secret,
            "securitytoken": token,
            "expires_at": f"{expires:%Y-%m-%dT%H:%M:%S.000000Z}",
        }
    }
