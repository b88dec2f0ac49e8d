"""The signature check of the simulated Huawei Cloud: the example that Huawei Cloud publishes, its own SDK, and forged requests."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.sdk_request import SdkRequest

from simulator.http_messages import Request
from simulator.huawei.signature import (
    build_canonical_request,
    is_signed,
    read_authorization,
    read_signing_time,
)

# The request, the key and the signature of "AK/SK Signing and Authentication Algorithm" in the API Request Signing Guide.
EXAMPLE_SECRET = "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc"
EXAMPLE = Request(
    "GET",
    "/v1/77b6a44cba5143ab91d13ab9a8ff44fd/vpcs",
    "limit=2&marker=13551d6b-755d-4757-b956-536f674975c0",
    {
        "content-type": "application/json",
        "host": "service.region.example.com",
        "x-sdk-date": "20191115T033655Z",
        "authorization": "SDK-HMAC-SHA256 Access=QTWAOYTTINDUT2QVKYUC, SignedHeaders=content-type;host;x-sdk-date,"
        " Signature=7be6668032f70418fcc22abc52071e57aff61b84a1d2381bb430d6870f4f6ebe",
    },
    b"",
    0.0,
)


def test_the_published_example_is_signed():
    authorization = read_authorization(EXAMPLE)
    canonical = build_canonical_request(EXAMPLE, authorization.signed_headers)

    digest = hashlib.sha256(canonical.encode()).hexdigest()
    assert digest == "b25362e603ee30f4f25e7858e8a7160fd36e803bb2dfe206278659d71a9bcd7a"
    assert is_signed(EXAMPLE, authorization, EXAMPLE_SECRET)
    assert authorization.access_key == "QTWAOYTTINDUT2QVKYUC"
    assert read_signing_time(EXAMPLE).isoformat() == "2019-11-15T03:36:55+00:00"


@pytest.mark.parametrize(
    "change",
    [
        {"method": "POST"},
        {"path": "/v1/77b6a44cba5143ab91d13ab9a8ff44fd/subnets"},
        {"query_text": "limit=3&marker=13551d6b-755d-4757-b956-536f674975c0"},
        {"body": b"{}"},
        {"headers": {**EXAMPLE.headers, "host": "evil.example.com"}},
        {"headers": {**EXAMPLE.headers, "x-sdk-date": "20191115T033656Z"}},
    ],
)
def test_a_forged_request_is_not_signed(change):
    forged = replace(EXAMPLE, **change)

    assert not is_signed(forged, read_authorization(forged), EXAMPLE_SECRET)
    assert not is_signed(EXAMPLE, read_authorization(EXAMPLE), EXAMPLE_SECRET + "x")


def test_a_request_of_the_sdk_is_signed_whatever_its_query_and_body():
    query = [("fields", "id"), ("fields", "alias"), ("name", "a b/中+&=~*"), ("limit", 1), ("empty", "")]
    signed = BasicCredentials("KEY", "secret", "project").sign_request(
        SdkRequest(
            method="POST",
            schema="https",
            host="vpc.cn-north-4.myhuaweicloud.com",
            resource_path="/v3/p/vpcs",
            query_params=query,
            header_params={"Content-Type": "application/json", "X-Sdk-Date": "20260101T000000Z"},
            body='{"name": "网站 😀"}',
        )
    )
    path, _, query_text = signed.uri.partition("?")
    headers = {name.lower(): value for name, value in signed.header_params.items()}
    request = Request("POST", path, query_text, headers, signed.body, 0.0)

    assert is_signed(request, read_authorization(request), "secret")


@pytest.mark.parametrize(
    "text", ["", "AWS4-HMAC-SHA256 Credential=x", "SDK-HMAC-SHA256 Access=x, SignedHeaders=host, Signature=0"]
)
def test_another_authorization_is_none(text):
    assert read_authorization(replace(EXAMPLE, headers={"authorization": text})) is None
