"""Connections to Huawei Cloud: one `HuaweiRegion` for an account and a project of a region in each process.

Huawei Cloud's SDK signs the requests (SDK-HMAC-SHA256). The requests themselves go through the session that clouds of
OpenStack use, so the same rules hold: checked addresses, bounded answers, no proxies and passwords of the environment.
Nothing of the environment, of files and of the metadata service is read for credentials, because the portal's own machine
may be somebody else's at Huawei Cloud. This module is imported when the first account is opened: the SDK is an extra.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from huaweicloudsdkcore.auth.credentials import BasicCredentials, GlobalCredentials
from huaweicloudsdkcore.sdk_request import SdkRequest

from api.messages import message as _
from openstack_client import (
    CloudAuthenticationError,
    CloudError,
    CloudForbiddenError,
    CloudServiceMissingError,
    CloudUnavailableError,
    InvalidCloudRequestError,
)
from openstack_client.clock import CloudClock
from openstack_client.decoding import decode_json
from openstack_client.http_session import HttpSession

from ...connect import build_connection_rules, count_request, guard_request
from ...models import CloudAccount
from ..vendors import OpenedRegions
from .errors import read_refusal, refuse_answer, translate_connection_error, translate_refusal
from .listings import Listing, fetch_pages
from .projects import Project, read_projects, read_regions

# Seconds for a connection, and for each read.
TIMEOUT = (5.0, 60.0)
# The seconds to wait before a request is repeated that Huawei Cloud throttles; one attempt more than there are numbers.
THROTTLE_WAITS: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)
# The most that is waited because an answer requests it ("Retry-After").
MAX_WAIT = 30.0
# The credentials of an agency last an hour; they are requested anew before they end.
AGENCY_SECONDS = 3600
AGENCY_RESERVE_SECONDS = 600
DOMAIN = "myhuaweicloud.com"
# The services whose addresses in Europe's own region are in another domain.
_EUROPEAN = frozenset({("iam", "eu-west-101"), ("rds", "eu-west-101")})
# Services whose addresses have the name of another service.
_HOSTS = {"eip": "vpc"}
_PROJECT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
# Actions by which requests to IAM are named in messages; they need no permission.
LIST_PROJECTS = "iam:KeystoneListAuthProjects"
LIST_REGIONS = "iam:KeystoneListRegions"
LIST_DOMAINS = "iam:KeystoneListAuthDomains"
ASSUME_AGENCY = "iam:CreateTemporaryAccessKeyByAgency"
LIST_PAID_TIMES = "bss:ListPayPerUseCustomerResources"
# The billing centers of China and of all other countries; each refuses the accounts of the other.
_BILLING_CENTERS = ("bss", "bss-intl")
# The most resources of a request to them.
_MOST_PAID = 50
# The seconds after which a billing center that refused is asked again.
BILLING_RETRY_SECONDS = 900
Query = Sequence[tuple[str, str | int]]


class HuaweiRegion:
    """A project of an account in its region, or "" for IAM alone: the client of the syncers. Thread-safe."""

    def __init__(self, account: CloudAccount, region: str) -> None:
        self.region = region
        self._endpoint = account.auth_url.rstrip("/")
        self._options = dict(account.options)
        self._secrets = account.decrypt_secrets()
        self._keys: tuple[str, str, str | None] = (
            account.access_id,
            self._secrets.get("secret_access_key", ""),
            self._secrets.get("security_token") or None,
        )
        self._guard = threading.Lock()
        self._sessions: dict[str, HttpSession] = {}
        self._project: Project | None = None
        self._expires_at = float("inf")
        self._billing_centers: tuple[str, ...] = _BILLING_CENTERS
        self._billing_refused_at = float("-inf")
        self._clock = CloudClock()

    @property
    def is_outdated(self) -> bool:
        """Return whether the credentials of its agency end soon, so that it has to be opened anew."""
        return time.monotonic() > self._expires_at

    def sign_in(self) -> None:
        """Take the agency that the account names, if it names one. Raises `CloudError`, also without a key to sign with."""
        if not (self._keys[0] and self._keys[1]):
            raise InvalidCloudRequestError(_("The account has no secret access key. Enter it again."))
        agency, domain = self._options.get("agency_name"), self._options.get("agency_domain")
        if not agency:
            return
        if not domain:
            raise InvalidCloudRequestError(_("Enter the account that the agency belongs to."))
        assumed: dict[str, Any] = {
            "agency_name": agency,
            "domain_name": domain,
            "duration_seconds": AGENCY_SECONDS,
        }
        body = {"auth": {"identity": {"methods": ["assume_role"], "assume_role": assumed}}}
        answer = self.call(
            "iam", "/v3.0/OS-CREDENTIAL/securitytokens", action=ASSUME_AGENCY, method="POST", body=body
        )
        given = answer.get("credential")
        if not isinstance(given, dict):
            raise refuse_answer(ASSUME_AGENCY)
        access, secret, token = (str(given.get(name) or "") for name in ("access", "secret", "securitytoken"))
        if not (access and secret and token):
            raise refuse_answer(ASSUME_AGENCY)
        self._secrets |= {"agency_secret": secret, "agency_token": token}
        self._keys = (access, secret, token)
        self._expires_at = time.monotonic() + AGENCY_SECONDS - AGENCY_RESERVE_SECONDS

    def list_projects(self) -> list[Project]:
        """List the projects that the credentials may use, in regions that Huawei Cloud has. Raises `CloudError`."""
        regions = self.call("iam", "/v3/regions", action=LIST_REGIONS)
        projects = self.call("iam", "/v3/auth/projects", action=LIST_PROJECTS)
        known = read_regions(regions)
        found = read_projects(projects)
        if known is None or found is None:
            raise refuse_answer(LIST_PROJECTS if found is None else LIST_REGIONS)
        usable = [project for project in found if project.region in known]
        if not usable:
            # IAM lists only those in which the user has any permission; no project is no reason to take all for gone.
            raise CloudForbiddenError(
                _(
                    "Huawei Cloud shows no project to these credentials. Give the user or the agency a policy for the projects of the regions."
                )
            )
        return usable

    def read_account(self) -> tuple[str, str]:
        """Return the id and the name of the account that the credentials belong to, or "" for both. Raises `CloudError`."""
        domains = self.call("iam", "/v3/auth/domains", action=LIST_DOMAINS).get("domains")
        if not isinstance(domains, list):
            raise refuse_answer(LIST_DOMAINS)
        found = domains[0] if domains and isinstance(domains[0], dict) else {}
        return str(found.get("id") or ""), str(found.get("name") or "")

    def list_paid_times(self, ids: Sequence[str]) -> dict[str, str]:
        """Return the ends of the paid times of resources that are paid by month or year. Raises `CloudError`.

        {} for credentials that may not see orders, and where there is no billing center: a sync does without.
        """
        ends: dict[str, str] = {}
        for start in range(0, len(ids), _MOST_PAID):
            answer = self._query_billing(ids[start : start + _MOST_PAID])
            if answer is None:
                return {}
            for one in answer.get("data") or ():
                if isinstance(one, dict) and isinstance(one.get("expire_time"), str):
                    ends[str(one.get("resource_id"))] = one["expire_time"]
        return ends

    def list_pages(self, listing: Listing) -> Iterator[list[Any]]:
        """Yield the pages of a complete listing. Raises `CloudError`."""
        path = listing.path.replace("{project_id}", self._find_project().id)

        def fetch(query: Query, is_continuation: bool) -> dict[str, Any]:
            return self.call(
                listing.service, path, query, action=listing.action, is_continuation=is_continuation
            )

        yield from fetch_pages(listing, fetch)

    def call(
        self,
        service: str,
        path: str,
        query: Query = (),
        *,
        action: str,
        method: str = "GET",
        body: Any = None,
        is_continuation: bool = False,
    ) -> dict[str, Any]:
        """Send a request, again while it is throttled, and return the object of its answer. Raises `CloudError`."""
        for wait in (*THROTTLE_WAITS, None):
            answer = self._send(service, path, query, method=method, body=body, action=action)
            if answer.status_code < 300:
                return _read_object(answer, action)
            request_id = answer.headers.get("x-request-id")
            refusal = read_refusal(answer.status_code, _decode(answer), request_id)
            if wait is None or not (answer.status_code == 429 or (refusal and refusal.is_throttled)):
                break
            time.sleep(max(wait, _read_retry_after(answer)))
        if refusal is None:
            raise refuse_answer(action, answer.status_code)
        raise translate_refusal(
            refusal, action=action, is_continuation=is_continuation, secrets=self._secrets.values()
        )

    def clock_offset(self) -> float | None:
        """Return how many seconds Huawei Cloud's clock is ahead of the portal's, from the date of an answer; None without one."""
        return self._clock.worst_offset()

    def _query_billing(self, ids: Sequence[str]) -> dict[str, Any] | None:
        """Return the answer of the billing center that serves the account; None without one."""
        if time.monotonic() - self._billing_refused_at < BILLING_RETRY_SECONDS:
            return None
        # Without `only_main_resource`, the answer also has what belongs to each of them.
        body = {"resource_ids": list(ids), "only_main_resource": 1, "offset": 0, "limit": 2 * _MOST_PAID}
        path = "/v2/orders/suscriptions/resources/query"
        for center in self._billing_centers:
            try:
                answer = self.call(center, path, action=LIST_PAID_TIMES, method="POST", body=body)
            except (CloudAuthenticationError, CloudForbiddenError, CloudServiceMissingError):
                # The region has just accepted these credentials, so they are those of the other center.
                continue
            except CloudUnavailableError as error:
                # A portal that may reach the regions alone gets no answer at all.
                if error.status_code is not None:
                    raise
                continue
            self._billing_centers = (center,)
            return answer
        self._billing_refused_at = time.monotonic()
        return None

    def _find_project(self) -> Project:
        """Return the project of this region, which IAM is asked for once. Raises `CloudError`."""
        with self._guard:
            known = self._project
        if known is not None:
            return known
        projects = self.list_projects()
        for project in projects:
            if project.name == self.region and _PROJECT_ID.fullmatch(project.id):
                with self._guard:
                    self._project = project
                return project
        raise refuse_region(self.region, projects)

    def _send(
        self, service: str, path: str, query: Query, *, method: str, body: Any, action: str
    ) -> requests.Response:
        base = urlsplit(self._build_base(service))
        signed = self._sign(
            service,
            SdkRequest(
                method=method,
                schema=base.scheme,
                host=base.netloc,
                resource_path=f"{base.path.rstrip('/')}{path}",
                query_params=list(query),
                # The SDK would take the time from a function that newer Pythons warn of.
                header_params={
                    "Content-Type": "application/json",
                    "X-Sdk-Date": f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}",
                },
                body=json.dumps(body) if body is not None else None,
            ),
        )
        problem: CloudError | None = None
        try:
            answer = self._open_session(service).request(
                method, signed.url, data=signed.body, headers=signed.header_params
            )
        except requests.RequestException as error:
            problem = translate_connection_error(error, action=action, secrets=self._secrets.values())
        if problem is not None:
            # Raised outside of the exception of the request, whose text may hold headers.
            raise problem
        self._clock.record_date(service, answer.headers)
        return answer

    def _sign(self, service: str, request: SdkRequest) -> Any:
        access_key, secret, token = self._keys
        with self._guard:
            project = self._project or Project("", "")
        # Services whose paths have no project, such as that of images, know it by a header; those of the whole account, the account.
        credentials: Any = (
            GlobalCredentials(access_key, secret, project.account_id or None)
            if service in _BILLING_CENTERS
            else BasicCredentials(access_key, secret, project.id or None)
        )
        credentials.security_token = token
        return credentials.sign_request(request)

    def _build_base(self, service: str) -> str:
        if self._endpoint:
            return self._endpoint
        region = self.region.partition("_")[0] or self._options.get("sign_in_region") or ""
        if service == "iam" and not region:
            return f"https://iam.{DOMAIN}"
        if service in _BILLING_CENTERS:
            return f"https://{service}.{DOMAIN}"
        domain = "myhuaweicloud.eu" if (service, region) in _EUROPEAN else DOMAIN
        return f"https://{_HOSTS.get(service, service)}.{region}.{domain}"

    def _open_session(self, service: str) -> HttpSession:
        with self._guard:
            session = self._sessions.get(service)
            if session is None:
                session = self._sessions[service] = HttpSession(
                    timeout=TIMEOUT,
                    before=guard_request,
                    pool_size=10,
                    retry_delay=0.5,
                    auth_url=self._endpoint,
                    rules=build_connection_rules(),
                    ca_bundle=None,
                    observe=lambda _url, method, status, seconds: count_request(
                        service, method, status, seconds
                    ),
                )
            return session


def refuse_region(region: str, projects: Sequence[Project]) -> CloudError:
    """Return the error for a region that the account does not have, with those that it has."""
    sentence = _("Huawei Cloud has no region '%(unknown)s' for this account. There are: %(known)s.")
    known = ", ".join(sorted({project.name for project in projects}))
    return InvalidCloudRequestError(sentence % {"unknown": region[:100], "known": known[:2000]})


def _read_object(answer: requests.Response, action: str) -> dict[str, Any]:
    found = _decode(answer)
    if not isinstance(found, dict):
        raise refuse_answer(action)
    return found


def _decode(answer: requests.Response) -> Any:
    try:
        return decode_json(answer.content)
    except (ValueError, RecursionError):
        return None


def _read_retry_after(answer: requests.Response) -> float:
    text = answer.headers.get("retry-after", "")
    return min(float(text), MAX_WAIT) if text.isascii() and text.isdigit() else 0.0


opened_regions = OpenedRegions(HuaweiRegion)


def open_region(account: CloudAccount, region: str) -> HuaweiRegion:
    """Return a region of an account, signed in; `""` for IAM. Raises `CloudError`, `UnreadableSecretError`."""
    return opened_regions.open(account, region)
