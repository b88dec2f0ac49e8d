"""Connections to Tencent Cloud by its SDK: one `TencentRegion` for an account and a region in each process.

The SDK signs requests and knows the addresses of the services. The requests themselves go through the session that clouds
of OpenStack use, so the same rules hold: checked addresses, bounded answers, no proxies and passwords of the environment.
Of the SDK only the core is needed, whose client calls an operation of any service by its name. This module is imported
when the first account is opened, because the SDK is an extra.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import requests
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

from api.messages import message as _
from openstack_client import CloudError, CloudUnavailableError, InvalidCloudRequestError
from openstack_client.clock import CloudClock
from openstack_client.http_session import HttpSession
from openstack_client.listing_bounds import MAX_OBJECTS, MAX_PAGES

from ...connect import build_connection_rules, count_request, guard_request
from ...models import CloudAccount
from ..vendors import OpenedRegions
from .errors import HttpStatusError, RefusalError, UnreadableAnswerError, format_action, translate_error

# Seconds for a connection, and for each read.
TIMEOUT = (5.0, 60.0)
# A request that Tencent Cloud throttles is repeated up to this many times in all. The first wait is up to this many
# seconds, and each further one up to twice as long as the one before.
MAX_ATTEMPTS = 6
FIRST_WAIT_SECONDS = 1.0
# The least time between two requests of an operation to a region: Tencent Cloud takes 20 of most operations a second.
LEAST_SECONDS_BETWEEN = 0.05
# A connection that broke is made anew once: all operations only read.
MAX_BROKEN_CONNECTIONS = 1
BROKEN_CONNECTIONS = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)
# The credentials of a role last this long; they are requested anew before they end.
ROLE_SECONDS = 7200
ROLE_RESERVE_SECONDS = 600
DEFAULT_REGION = "ap-guangzhou"
DOMAIN = "tencentcloudapi.com"
# The regions for banks are cut off from the others, and have domains of their own.
FINANCE_SUFFIX = "-fsi"
VERSIONS = {
    "cbs": "2017-03-12",
    "cdb": "2017-03-20",
    "clb": "2018-03-17",
    "cvm": "2017-03-12",
    "redis": "2018-04-12",
    "region": "2022-06-27",
    "sts": "2018-08-13",
    "vpc": "2017-03-12",
}
SDK_ERRORS = (
    TencentCloudSDKException,
    RefusalError,
    HttpStatusError,
    UnreadableAnswerError,
    requests.RequestException,
    ValueError,
    TypeError,
    LookupError,
    RecursionError,
)


class TencentRegion:
    """One region of an account: the client of the syncers. Thread-safe."""

    def __init__(self, account: CloudAccount, region: str) -> None:
        self._options = dict(account.options)
        self.region = region or self._options.get("sign_in_region") or DEFAULT_REGION
        endpoint = urlsplit(account.auth_url)
        self._scheme = endpoint.scheme or "https"
        self._host = endpoint.netloc or None
        self._auth_url = account.auth_url
        self._secrets = account.decrypt_secrets()
        self._key = (account.access_id, self._secrets.get("secret_key", ""), self._secrets.get("token", ""))
        self._clients: dict[str, CommonClient] = {}
        # When the next request of an operation may be sent, by service and operation.
        self._next_at: dict[tuple[str, str], float] = {}
        self._guard = threading.Lock()
        self._expires_at = float("inf")
        self._clock = CloudClock()

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
        taken = self.call("sts", "AssumeRole", **params).get("Credentials") or {}
        secret_id, secret_key, token = (
            str(taken.get(name) or "") for name in ("TmpSecretId", "TmpSecretKey", "Token")
        )
        if not (secret_id and secret_key and token):
            raise translate_error(UnreadableAnswerError(), service="sts", operation="AssumeRole")
        self._key = (secret_id, secret_key, token)
        self._secrets |= {"role_secret": secret_key, "role_token": token}
        with self._guard:
            self._clients.clear()
        self._expires_at = time.monotonic() + ROLE_SECONDS - ROLE_RESERVE_SECONDS

    def call(self, service: str, operation: str, **params: Any) -> dict[str, Any]:
        """Call an operation and return its answer; a throttled request is repeated. Raises `CloudError`."""
        broken = 0
        found: CloudError | None = None
        for attempt in range(MAX_ATTEMPTS + MAX_BROKEN_CONNECTIONS):
            try:
                return self._call_once(service, operation, params)
            except SDK_ERRORS as error:
                if isinstance(error, BROKEN_CONNECTIONS) and not isinstance(error, requests.Timeout):
                    broken += 1
                    is_repeated, wait = broken <= MAX_BROKEN_CONNECTIONS, 0.0
                else:
                    is_repeated = is_throttled(error) and attempt + 1 < MAX_ATTEMPTS
                    # A part of the wait is random, so that workers that were throttled together do not return together.
                    wait = FIRST_WAIT_SECONDS * 2**attempt * random.uniform(0.5, 1)  # noqa: S311 - no secret.
                found = translate_error(
                    error, service=service, operation=operation, secrets=self._secrets.values()
                )
            if not is_repeated:
                break
            time.sleep(wait)
        # Raised outside of the chain of the SDK's exceptions, whose texts may hold secrets.
        assert found is not None
        raise found

    def list_once(self, service: str, operation: str, member: str, **params: Any) -> list[Any]:
        """Return the listing of an operation that has no pages. Raises `CloudError`."""
        found = self.call(service, operation, **params).get(member)
        if not isinstance(found, list):
            raise translate_error(UnreadableAnswerError(), service=service, operation=operation)
        return found

    def list_pages(
        self,
        service: str,
        operation: str,
        member: str,
        id_member: str,
        *,
        page_size: int,
        has_text_offsets: bool = False,
        **params: Any,
    ) -> Iterator[list[dict[str, Any]]]:
        """Yield the pages of a listing by offset and limit, each object once. Raises `CloudError` unless it is complete.

        Offsets shift when objects are created or removed during the listing: what is created is listed at the next sync,
        and after a removal the pages that may have moved are read again.
        """
        action = format_action(service, operation)
        convert = str if has_text_offsets else int
        progress = _Progress(action, id_member, page_size)
        while not progress.is_at_end:
            answer = self.call(
                service, operation, **params, Offset=convert(progress.offset), Limit=convert(page_size)
            )
            yield progress.take_page(*_read_page(answer, member, service, operation))
        progress.check_complete()

    def clock_offset(self) -> float | None:
        """Return how many seconds the clock of Tencent Cloud is ahead of the portal's, from the dates of its answers; None without one."""
        return self._clock.worst_offset()

    def _call_once(self, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        self._pace(service, operation)
        answer = self._client(service).call_json(operation, params)
        found = answer.get("Response") if isinstance(answer, dict) else None
        if not isinstance(found, dict):
            raise UnreadableAnswerError
        if "Error" in found:
            raise RefusalError(found["Error"], request_id=found.get("RequestId"))
        return found

    def _pace(self, service: str, operation: str) -> None:
        """Wait until the next request of an operation may be sent."""
        with self._guard:
            now = time.monotonic()
            send_at = max(now, self._next_at.get((service, operation), 0.0))
            self._next_at[service, operation] = send_at + LEAST_SECONDS_BETWEEN
        if send_at > now:
            time.sleep(send_at - now)

    def _client(self, service: str) -> CommonClient:
        with self._guard:
            client = self._clients.get(service)
            if client is None:
                domain = f"{self.region}.{DOMAIN}" if self.region.endswith(FINANCE_SUFFIX) else DOMAIN
                profile = ClientProfile(
                    httpProfile=HttpProfile(protocol=self._scheme, endpoint=self._host, rootDomain=domain)
                )
                client = CommonClient(
                    service, VERSIONS[service], Credential(*self._key), self.region, profile
                )
                client.request = _Sender(service, self._scheme, self._auth_url, self._clock)
                self._clients[service] = client
        return client


class _Sender:
    """What the SDK sends its requests by: it has already signed them, and only decodes the answers."""

    def __init__(self, service: str, scheme: str, auth_url: str, clock: CloudClock) -> None:
        self._service = service
        self._scheme = scheme
        self._clock = clock
        self._http = HttpSession(
            timeout=TIMEOUT,
            before=guard_request,
            pool_size=10,
            retry_delay=0.5,
            auth_url=auth_url,
            rules=build_connection_rules(),
            ca_bundle=None,
            observe=lambda _url, method, status, seconds: count_request(service, method, status, seconds),
        )

    def send_request(self, request: Any) -> requests.Response:
        """Send a request of the SDK. Raises `HttpStatusError`, `CloudError`, and the exceptions of requests."""
        answer = self._http.request(
            request.method,
            f"{self._scheme}://{request.host}{request.uri}",
            data=request.data.encode(),
            headers=request.header,
        )
        self._clock.record_date(self._service, answer.headers)
        if answer.status_code != 200:
            raise HttpStatusError(answer.status_code, answer.content)
        # By the type, the SDK would look for errors in some answers only, and switch on all warnings of the process when
        # an operation is deprecated. Errors are looked for in `TencentRegion`, in every answer.
        answer.headers.pop("Content-Type", None)
        return answer


def is_throttled(error: Exception) -> bool:
    """Return whether an answer says that the same request may succeed a little later."""
    refusal = error.to_refusal() if isinstance(error, HttpStatusError) else error
    return isinstance(refusal, RefusalError) and refusal.is_throttled


def _read_page(answer: dict[str, Any], member: str, service: str, operation: str) -> tuple[list[Any], int]:
    """Return the objects of a page, and the number of all. An empty listing may be null."""
    total = answer.get("TotalCount")
    found = answer.get(member)
    if found is None and total == 0:
        found = []
    if not isinstance(found, list) or not isinstance(total, int) or isinstance(total, bool):
        raise translate_error(UnreadableAnswerError(), service=service, operation=operation)
    return found, total


class _Progress:
    """How far a listing by offset and limit has come."""

    def __init__(self, action: str, id_member: str, page_size: int) -> None:
        self.offset = 0
        self.is_at_end = False
        self._action = action
        self._id_member = id_member
        self._page_size = page_size
        self._seen: set[str] = set()
        self._pages = self._listed = 0
        # The last page that was read, and the totals that the pages told: the last one, and the lowest.
        self._furthest = -1
        self._total = self._lowest_total = 0

    def take_page(self, found: list[Any], total: int) -> list[Any]:
        """Return the objects of a page that are new, and move on. Raises `CloudUnavailableError` if there is no end."""
        self._pages += 1
        if self._pages > MAX_PAGES:
            raise self._error(_("The listing of %(action)s has too many pages."))
        last, self._total = self._total, total
        self._lowest_total = min(self._lowest_total, total) if self._pages > 1 else total
        if self.offset and total < last:
            # Objects were removed, and later ones moved forward, some of them to pages that were read before.
            pages_back = -(-(last - total) // self._page_size)
            self.offset = max(0, self.offset - pages_back * self._page_size)
            return []
        fresh = [one for one in found if self._is_fresh(one)]
        if last == total and not fresh and len(found) == self._page_size and self.offset > self._furthest:
            raise self._error(_("The listing of %(action)s does not end: the same page came again."))
        self._listed += len(fresh)
        if self._listed > MAX_OBJECTS:
            raise self._error(_("The listing of %(action)s has too many objects."))
        self._furthest = max(self._furthest, self.offset)
        self.offset += self._page_size
        self.is_at_end = self.offset >= total or not found
        return fresh

    def check_complete(self) -> None:
        """Refuse a listing with fewer objects than its pages told. Raises `CloudUnavailableError`."""
        if self._listed < self._lowest_total:
            sentence = _(
                "The listing of %(action)s is not complete: %(listed)s of %(total)s objects came. The next sync starts it again."
            )
            raise CloudUnavailableError(
                sentence % {"action": self._action, "listed": self._listed, "total": self._lowest_total}
            )

    def _is_fresh(self, one: Any) -> bool:
        """Return whether an object was not listed yet. One without an id always counts: it is reported as unreadable."""
        cloud_id = one.get(self._id_member) if isinstance(one, dict) else None
        if not isinstance(cloud_id, str) or not cloud_id:
            return True
        if cloud_id in self._seen:
            return False
        self._seen.add(cloud_id)
        return True

    def _error(self, sentence: str) -> CloudUnavailableError:
        return CloudUnavailableError(sentence % {"action": self._action})


opened_regions = OpenedRegions(TencentRegion)


def open_region(account: CloudAccount, region: str) -> TencentRegion:
    """Return a region of an account, signed in; `""` is the region in which it signs in. Raises `CloudError`, `UnreadableSecretError`."""
    if urlsplit(account.auth_url).path.strip("/"):
        # The SDK signs the path "/" for every service.
        raise InvalidCloudRequestError(
            _("The endpoint has to be a URL without a path, not %(url)s.") % {"url": account.auth_url[:200]}
        )
    return opened_regions.open(account, region)
