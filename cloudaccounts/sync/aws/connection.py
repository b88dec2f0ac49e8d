"""Connections to AWS by botocore, the core of its SDK: one `AwsRegion` for an account and a region in each process.

botocore signs requests, knows the addresses of AWS and reads its answers. The requests themselves go through the session that
clouds of OpenStack use, so the same rules hold: checked addresses, bounded answers, no proxies and passwords of the
environment. This module is imported when the first account is opened: botocore is an extra, and takes a quarter of a second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import requests
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)
from botocore.parsers import ResponseParserError
from botocore.session import Session

from openstack_client.clock import CloudClock
from openstack_client.http_session import HttpSession

from ...connect import build_connection_rules, count_request, guard_request
from ...models import CloudAccount
from ..vendors import OpenedRegions
from .errors import translate_error

# Seconds for a connection, and for each read.
TIMEOUT = (5.0, 60.0)
# A request that AWS throttles is repeated up to this many times in all; botocore waits longer each time, and measures per
# account and service how much AWS accepts ("adaptive").
MAX_ATTEMPTS = 6
# The credentials of a role last an hour; they are requested anew before they end.
ROLE_SECONDS = 3600
ROLE_RESERVE_SECONDS = 600
DEFAULT_REGION = "us-east-1"
# The last three come from its parsers, for an answer in which a number is none, or a member is missing.
SDK_ERRORS = (ClientError, BotoCoreError, ResponseParserError, ValueError, TypeError, LookupError)


# One for all accounts, because it keeps the descriptions of services, of which EC2's alone takes 20 MB. It has nothing of the
# environment and of files: the portal's own machine may be logged in to AWS as somebody else.
_sdk = Session(
    session_vars={
        "profile": (None, None, None, None),
        "config_file": (None, None, "/dev/null", None),
        "credentials_file": (None, None, "/dev/null", None),
    }
)
_sdk_guard = threading.Lock()


def _create_client(service: str, **options: Any) -> Any:
    # Clients may be used by several threads, the session may not.
    with _sdk_guard:
        return _sdk.create_client(service, **options)


class AwsRegion:
    """One region of an account: the client of the syncers. Thread-safe."""

    def __init__(self, account: CloudAccount, region: str) -> None:
        self.region = region
        self._endpoint = account.auth_url or None
        self._options = dict(account.options)
        self._secrets = account.decrypt_secrets()
        self._clients: dict[str, Any] = {}
        self._guard = threading.Lock()
        self._expires_at = float("inf")
        self._clock = CloudClock()
        self._keys = (
            account.access_id,
            self._secrets.get("secret_access_key", ""),
            self._secrets.get("session_token"),
        )

    @property
    def home_region(self) -> str:
        """The region in which the account signs in, and which answers for services without regions."""
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
        taken = self.call("sts", "assume_role", **params)["Credentials"]
        self._keys = (taken["AccessKeyId"], taken["SecretAccessKey"], taken["SessionToken"])
        self._secrets |= {"role_secret": self._keys[1], "role_token": taken["SessionToken"]}
        with self._guard:
            self._clients.clear()
        self._expires_at = time.monotonic() + ROLE_SECONDS - ROLE_RESERVE_SECONDS

    def call(self, service: str, operation: str, **params: Any) -> dict[str, Any]:
        """Call an operation once, and return its answer. Raises `CloudError`."""
        try:
            answer: dict[str, Any] = getattr(self._client(service), operation)(**params)
        except SDK_ERRORS as error:
            found = translate_error(
                error, service=service, operation=operation, secrets=self._secrets.values()
            )
            # Raised outside of the chain of the SDK's exceptions, whose texts may hold secrets.
            raise found from None
        return answer

    def list_pages(
        self, service: str, operation: str, member: str, *, page_size: int | None = None, **params: Any
    ) -> Iterator[list[dict[str, Any]]]:
        """Yield the pages of a listing, each as the list that the answer has under `member`. Raises `CloudError`."""
        config = {"PageSize": page_size} if page_size else {}
        try:
            client = self._client(service)
            for page in client.get_paginator(operation).paginate(PaginationConfig=config, **params):
                yield page.get(member) or []
        except SDK_ERRORS as error:
            found = translate_error(
                error, service=service, operation=operation, secrets=self._secrets.values()
            )
            raise found from None

    def clock_offset(self) -> float | None:
        """Return how many seconds AWS's clock is ahead of the portal's, from the date of its last answer; None without one."""
        return self._clock.worst_offset()

    def _client(self, service: str) -> Any:
        with self._guard:
            client = self._clients.get(service)
            if client is None:
                client = _create_client(
                    service,
                    region_name=self.region or self.home_region,
                    endpoint_url=self._endpoint,
                    aws_access_key_id=self._keys[0],
                    aws_secret_access_key=self._keys[1],
                    aws_session_token=self._keys[2],
                    config=Config(
                        retries={"mode": "adaptive", "total_max_attempts": MAX_ATTEMPTS},
                        parameter_validation=True,
                        ignore_configured_endpoint_urls=True,
                        proxies={},
                        s3={"addressing_style": "path"} if self._endpoint else None,
                    ),
                )
                client._endpoint.http_session = _SdkSession(self, service)  # noqa: SLF001 - the SDK has no setting.
                self._clients[service] = client
        return client

    def record_date(self, service: str, headers: Mapping[str, str]) -> None:
        """Record the offset of the clock that the date of an answer shows."""
        self._clock.record_date(service, headers)


class _SdkSession:
    """What the SDK sends its requests by: it has already signed them, and reads the answers."""

    def __init__(self, region: AwsRegion, service: str) -> None:
        self._region = region
        self._service = service
        self._http = HttpSession(
            timeout=TIMEOUT,
            before=guard_request,
            pool_size=10,
            retry_delay=0.5,
            auth_url=region._endpoint or "",  # noqa: SLF001 - of this module.
            rules=build_connection_rules(),
            ca_bundle=None,
            observe=lambda _url, method, status, seconds: count_request(service, method, status, seconds),
        )

    def send(self, request: Any) -> Any:
        """Send a request of the SDK, and return the answer in its form. Raises the SDK's exceptions, and `CloudError`."""
        try:
            answer = self._http.request(
                request.method,
                request.url,
                data=request.body,
                headers={name: _to_text(value) for name, value in request.headers.items()},
            )
        except requests.ConnectTimeout as error:
            raise ConnectTimeoutError(endpoint_url=request.url, error=error) from error
        except requests.Timeout as error:
            raise ReadTimeoutError(endpoint_url=request.url, error=error) from error
        except requests.RequestException as error:
            raise EndpointConnectionError(endpoint_url=request.url, error=error) from error
        self._region.record_date(self._service, answer.headers)
        found = AWSResponse(request.url, answer.status_code, answer.headers, None)
        found._content = answer.content  # noqa: SLF001 - it would be read from the raw connection otherwise.
        return found

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


opened_regions = OpenedRegions(AwsRegion)


def open_region(account: CloudAccount, region: str) -> AwsRegion:
    """Return a region of an account, signed in; `""` for services without regions. Raises `CloudError`, `UnreadableSecretError`."""
    return opened_regions.open(account, region)


def _to_text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
