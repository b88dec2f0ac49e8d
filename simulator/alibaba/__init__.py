"""Alibaba Cloud in one process, over real HTTP: the listings of its services in the style of RPC, for tests.

It checks the signature of each request by the published algorithm, and refuses as the vendor does. It has no logic of machines:
`state` holds the objects as their listings show them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import parse_qsl

from ..http_messages import Request, Response
from ..http_server import HttpServer
from .operations import OPERATIONS
from .signature import MAX_CLOCK_SKEW, build_string_to_sign, is_signed_by, parse_time
from .state import AccessKey, AlibabaState, Refusal, refuse

__all__ = ["AlibabaServer", "AlibabaState", "refuse"]

# Gets an operation as policies name it and the number of its request; returns an answer, or None for the usual one.
Intervention = Callable[[str, int], Response | None]


class AlibabaServer:
    """A running simulated Alibaba Cloud. `url` is the endpoint of all its services."""

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen, and serve in threads. Raises `OSError` when the port is taken."""
        self.state = AlibabaState()
        self.answer: Intervention | None = None
        # The operations that were called, in their order.
        self.operations: list[str] = []
        self._server = HttpServer((host, port), self._handle)
        self.url = f"http://{host}:{int(self._server.server_address[1])}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="alibaba", daemon=True).start()

    def reset(self) -> None:
        """Forget what there is, and answer as usual."""
        self.answer = None
        self.operations.clear()
        self.state.reset()

    def stop(self) -> None:
        """End every connection, and release the port."""
        self._server.shutdown()
        self._server.drop_connections()
        self._server.server_close()

    def _handle(self, request: Request) -> Response:
        params = dict(parse_qsl(request.query_text, keep_blank_values=True))
        params |= dict(parse_qsl(request.body.decode(), keep_blank_values=True))
        service, operation = OPERATIONS.get((params.get("Version", ""), params.get("Action", "")), ("", None))
        name = f"{service}:{params.get('Action', '')}"
        with self.state.guard:
            self.operations.append(name)
            number = self.operations.count(name)
        answer = self.answer(name, number) if self.answer else None
        if answer is None:
            try:
                self._check(request.method, params, name)
                if operation is None:
                    raise Refusal(
                        404,
                        "InvalidAction.NotFound",
                        "Specified api is not found, please check your url and method.",
                    )
                answer = Response(200, {"RequestId": f"r-{number}", **operation(self.state, params)})
            except Refusal as refusal:
                answer = refusal.answer
        answer.headers["Date"] = format_datetime(self._now(), usegmt=True)
        return answer

    def _check(self, method: str, params: dict[str, str], name: str) -> None:
        """Check key, time, nonce, signature and policy in the vendor's order. Raises `Refusal`."""
        key = self.state.keys.get(params.get("AccessKeyId", ""))
        if key is None:
            raise Refusal(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
        if not key.is_active:
            raise Refusal(400, "InvalidAccessKeyId.Inactive", "Specified access key is disabled.")
        signed_at = parse_time(params.get("Timestamp", ""))
        if signed_at is None:
            raise Refusal(
                400, "InvalidTimeStamp.Format", "Specified time stamp or date value is not well formatted."
            )
        if abs(self._now() - signed_at) > MAX_CLOCK_SKEW:
            raise Refusal(400, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.")
        self._check_signature(method, params, key)
        self._check_policy(name)

    def _check_signature(self, method: str, params: dict[str, str], key: AccessKey) -> None:
        if (params.get("SignatureMethod"), params.get("SignatureVersion")) != ("HMAC-SHA1", "1.0"):
            raise Refusal(400, "InvalidParameter", "The specified parameter SignatureMethod is not valid.")
        if key.token and params.get("SecurityToken") != key.token:
            raise Refusal(
                400,
                "InvalidSecurityToken.MismatchWithAccessKey",
                "Specified SecurityToken mismatch with the AccessKey.",
            )
        if key.is_expired:
            raise Refusal(400, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired.")
        if not is_signed_by(method, params, key.secret):
            text = f"Specified signature is not matched with our calculation. server string to sign is:{build_string_to_sign(method, params)}"
            raise Refusal(400, "SignatureDoesNotMatch", text)
        nonce = params.get("SignatureNonce", "")
        with self.state.guard:
            is_used = not nonce or nonce in self.state.nonces
            self.state.nonces.add(nonce)
        if is_used:
            raise Refusal(400, "SignatureNonceUsed", "Specified signature nonce was used already.")

    def _check_policy(self, name: str) -> None:
        with self.state.guard:
            left = self.state.throttled.get(name, 0)
            self.state.throttled[name] = max(left - 1, 0)
        if left:
            raise Refusal(400, "Throttling.User", "Request was denied due to user flow control.")
        if name in self.state.denied:
            detail = {
                "AuthAction": name,
                "NoPermissionType": "ImplicitDeny",
                "PolicyType": "AccountLevelIdentityBasedPolicy",
            }
            message = (
                "User not authorized to operate on the specified resource, or this API doesn't support RAM."
            )
            raise Refusal(403, "Forbidden.RAM", message, AccessDeniedDetail=detail)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(time.time(), UTC) + timedelta(seconds=self.state.clock_offset)
