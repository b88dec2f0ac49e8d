"""Connections to Alibaba Cloud: one `AlibabaRegion` for an account and a region in each process.

The vendor's SDK signs the requests and knows the addresses of the services. The requests themselves go through the session
that clouds of OpenStack use, so the same rules hold: checked addresses, bounded answers, no proxies and passwords of the
environment. The SDK's own client, which looks for addresses by requests of its own, is not used. This module is imported when
the first account is opened: the SDK is an extra.
"""

from __future__ import annotations

import json
import re
import threading
import time
from functools import cache, partial
from typing import Any

import requests
from aliyunsdkcore.auth.credentials import AccessKeyCredential, StsTokenCredential
from aliyunsdkcore.auth.signers.access_key_signer import AccessKeySigner
from aliyunsdkcore.auth.signers.sts_token_signer import StsTokenSigner
from aliyunsdkcore.endpoint.local_config_regional_endpoint_resolver import LocalConfigRegionalEndpointResolver
from aliyunsdkcore.endpoint.resolver_endpoint_request import ResolveEndpointRequest
from aliyunsdkcore.request import RpcRequest

from api.messages import message as _
from openstack_client import InvalidCloudRequestError
from openstack_client.clock import CloudClock
from openstack_client.http_session import HttpSession

from ...connect import build_connection_rules, count_request, guard_request
from ...models import CloudAccount
from ..vendors import OpenedRegions
from .errors import describe_broken_answer, describe_no_answer, describe_refusal, format_action, is_throttled

# Seconds for a connection, and for each read.
TIMEOUT = (5.0, 60.0)
# A throttled request is repeated up to this many times in all. The first wait takes these seconds, each further one twice as
# many: the vendor counts requests by the minute, and by the second for some operations.
MAX_ATTEMPTS = 5
FIRST_WAIT_SECONDS = 1.0
# The connection of a request may have been closed by the vendor meanwhile. Listings change nothing, so they are sent again.
MAX_BROKEN_CONNECTIONS = 1
# The credentials of a role last an hour; they are requested anew before they end.
ROLE_SECONDS = 3600
ROLE_RESERVE_SECONDS = 600
DEFAULT_REGION = "cn-hangzhou"
VERSIONS = {
    "Ecs": "2014-05-26",
    "Vpc": "2016-04-28",
    "Slb": "2014-05-15",
    "R-kvstore": "2015-01-01",
    "Rds": "2014-08-15",
    "Sts": "2015-04-01",
}
_FORM = "application/x-www-form-urlencoded"
# A region becomes part of a host name.
_REGION = re.compile(r"[a-z0-9][a-z0-9-]{0,49}")


class AlibabaRegion:
    """One region of an account: the client of the syncers. Thread-safe."""

    def __init__(self, account: CloudAccount, region: str) -> None:
        self._endpoint = account.auth_url.rstrip("/")
        self._options = dict(account.options)
        self.region = region or self.home_region
        self._secrets = account.decrypt_secrets()
        self._signer = _build_signer(
            account.access_id, self._secrets.get("access_key_secret", ""), self._secrets.get("security_token")
        )
        self._sessions: dict[str, HttpSession] = {}
        self._guard = threading.Lock()
        self._expires_at = float("inf")
        self._clock = CloudClock()

    @property
    def home_region(self) -> str:
        """The region in which the account signs in."""
        return self._options.get("sign_in_region") or DEFAULT_REGION

    @property
    def is_outdated(self) -> bool:
        """Return whether the credentials of its role end soon, so that it has to be opened anew."""
        return time.monotonic() > self._expires_at

    def sign_in(self) -> None:
        """Take the role that the account names, if it names one. Raises `CloudError`."""
        role = self._options.get("role_arn")
        if not role:
            return
        params = {"RoleArn": role, "RoleSessionName": "portal", "DurationSeconds": ROLE_SECONDS}
        if external_id := self._options.get("external_id"):
            params["ExternalId"] = external_id
        taken = self.call("Sts", "AssumeRole", **params).get("Credentials")
        names = ("AccessKeyId", "AccessKeySecret", "SecurityToken")
        if not isinstance(taken, dict) or not all(isinstance(taken.get(name), str) for name in names):
            raise describe_broken_answer(format_action("Sts", "AssumeRole"), 200)
        key_id, secret, token = (taken[name] for name in names)
        self._secrets |= {"role_secret": secret, "role_token": token}
        self._signer = _build_signer(key_id, secret, token)
        self._expires_at = time.monotonic() + ROLE_SECONDS - ROLE_RESERVE_SECONDS

    def call(self, product: str, action: str, **params: Any) -> dict[str, Any]:
        """Call an operation, again after a wait when it is throttled, and return its answer. Raises `CloudError`."""
        attempts = 1
        while True:
            status, answer = self._send(product, action, params)
            if answer is None:
                raise describe_broken_answer(format_action(product, action), status)
            if status < 300:
                return answer
            if attempts >= MAX_ATTEMPTS or not is_throttled(status, answer):
                raise describe_refusal(status, answer, format_action(product, action), self._secrets.values())
            time.sleep(FIRST_WAIT_SECONDS * 2 ** (attempts - 1))
            attempts += 1

    def clock_offset(self) -> float | None:
        """Return how many seconds the vendor's clock is ahead of the portal's, from the date of an answer; None without one."""
        return self._clock.worst_offset()

    def _send(self, product: str, action: str, params: dict[str, Any]) -> tuple[int, dict[str, Any] | None]:
        """Return the status of an answer, and its JSON object; None instead of it for anything else. Raises `CloudError`."""
        session = self._open_session(product)
        url = f"{self._find_endpoint(product)}/"
        broken = 0
        while True:
            form, headers = self._sign(product, action, params)
            try:
                response = session.request("POST", url, data=form, headers=headers)
                break
            except requests.RequestException as error:
                broken += 1
                is_final = isinstance(error, requests.Timeout) or broken > MAX_BROKEN_CONNECTIONS
                failure = describe_no_answer(error, format_action(product, action))
            # Raised outside of the chain of exceptions, which have the request, and with it a token.
            if is_final:
                raise failure
        self._clock.record_date(product, response.headers)
        try:
            answer = json.loads(response.content)
        except (ValueError, RecursionError):
            answer = None
        return response.status_code, answer if isinstance(answer, dict) else None

    def _sign(self, product: str, action: str, params: dict[str, Any]) -> tuple[str, dict[str, str]]:
        """Return the form and the headers of a request, signed for this moment and with a nonce of its own.

        The SDK makes a URL with all parameters. They are sent as a form instead, which the vendor reads in the same way: URLs
        appear in logs, and a token is one of the parameters.
        """
        request = RpcRequest(product, VERSIONS[product], action, format="JSON")
        request.set_method("POST")
        for name, value in params.items():
            request.add_query_param(name, str(value))
        headers, path = self._signer.sign(self.region, request)
        return path.partition("?")[2], {**headers, "Content-Type": _FORM}

    def _find_endpoint(self, product: str) -> str:
        return self._endpoint or f"https://{_find_host(product, self.region)}"

    def _open_session(self, product: str) -> HttpSession:
        with self._guard:
            session = self._sessions.get(product)
            if session is None:
                session = self._sessions[product] = HttpSession(
                    timeout=TIMEOUT,
                    before=guard_request,
                    pool_size=10,
                    retry_delay=0.5,
                    auth_url=self._find_endpoint(product),
                    rules=build_connection_rules(),
                    ca_bundle=None,
                    observe=partial(_count, product.lower()),
                )
        return session


def _count(service: str, _url: str, method: str, status: int | None, seconds: float) -> None:
    count_request(service, method, status, seconds)


def _build_signer(key_id: str, secret: str, token: str | None) -> AccessKeySigner | StsTokenSigner:
    if token:
        return StsTokenSigner(StsTokenCredential(key_id, secret, token))
    return AccessKeySigner(AccessKeyCredential(key_id, secret))


@cache
def _find_host(product: str, region: str) -> str:
    """Return the host of a service in a region: as the SDK lists it, or by the rule for regions that are newer than the SDK."""
    if product == "Sts":
        return "sts.aliyuncs.com"
    listed = _read_endpoints().resolve(ResolveEndpointRequest(region, product, None, None))
    return str(listed or f"{product.lower()}.{region}.aliyuncs.com")


@cache
def _read_endpoints() -> LocalConfigRegionalEndpointResolver:
    return LocalConfigRegionalEndpointResolver()


opened_regions = OpenedRegions(AlibabaRegion)


def open_region(account: CloudAccount, region: str) -> AlibabaRegion:
    """Return a region of an account, signed in; `""` is the one in which it signs in. Raises `CloudError`, `UnreadableSecretError`."""
    if region and not _REGION.fullmatch(region):
        raise InvalidCloudRequestError(
            _("'%(region)s' is no region of Alibaba Cloud.") % {"region": region[:100]}
        )
    return opened_regions.open(account, region)
