"""Messages to robots of chats, which check what their vendors document."""

from __future__ import annotations

import hmac
import json
from base64 import b64encode
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from api.domain_errors import DomainError
from events.models import Event
from notifications import delivering
from notifications.chat_robots import MAX_TEXT_BYTES, check_robot_url
from tenants.scoping import Role
from tests.factories import TenantFactory
from tests.notifications.making import join, record, subscribe
from tests.notifications.receiver import Answer, Received, Receiver

pytestmark = pytest.mark.django_db

ROBOT_SECRET = "SEC000"


def answer_as_dingtalk(one: Received) -> Answer:
    """Answer as DingTalk documents it: 200 always, and an errcode of its own for a signature that is wrong."""
    query = parse_qs(urlsplit(one.path).query)
    stamp = query.get("timestamp", [""])[0]
    expected = b64encode(
        hmac.new(ROBOT_SECRET.encode(), f"{stamp}\n{ROBOT_SECRET}".encode(), sha256).digest()
    )
    if query.get("sign", [""])[0] != expected.decode():
        return Answer(200, json.dumps({"errcode": 310000, "errmsg": "sign not match"}).encode())
    assert one.json["msgtype"] == "text"
    return Answer(200, b'{"errcode":0,"errmsg":"ok"}')


def answer_as_wecom(one: Received) -> Answer:
    if len(one.json["text"]["content"].encode()) > 2048:
        return Answer(200, b'{"errcode":40058,"errmsg":"exceed max length 2048"}')
    return Answer(200, b'{"errcode":0,"errmsg":"ok"}')


def answer_as_feishu(one: Received) -> Answer:
    content = one.json
    key = f"{content['timestamp']}\n{ROBOT_SECRET}".encode()
    if content["sign"] != b64encode(hmac.new(key, b"", sha256).digest()).decode():
        return Answer(200, b'{"code":19021,"msg":"sign match fail or timestamp is not within one hour"}')
    return Answer(200, b'{"code":0,"msg":"success","data":{}}')


def text_of(one: Received, vendor: str) -> str:
    content = one.json["content" if vendor == "feishu" else "text"]
    return str(content["text" if vendor == "feishu" else "content"])


VENDORS = {"dingtalk": answer_as_dingtalk, "wecom": answer_as_wecom, "feishu": answer_as_feishu}


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_robot_gets_the_message_in_its_vendors_form(vendor: str, receiver: Receiver, settings: Any) -> None:
    settings.CHAT_HOSTS = {receiver.netloc: vendor}
    receiver.answer = VENDORS[vendor]
    admin = join(TenantFactory(), Role.ADMIN)
    subscription = subscribe(admin, shared=True, channel="chat", address=receiver.url, secret=ROBOT_SECRET)
    for number in range(20):
        record(admin.tenant, f"{number}-" + "云" * 200)

    delivering.deliver()

    (one,) = receiver.received
    assert len(text_of(one, vendor).encode()) <= MAX_TEXT_BYTES
    assert "云云云" in text_of(one, vendor)
    subscription.refresh_from_db()
    assert (subscription.last_error, subscription.failing_since) == ("", None)
    assert ROBOT_SECRET not in subscription.encrypted_secret + subscription.encrypted_address


@pytest.mark.parametrize(
    ("vendor", "error"), [("dingtalk", "310000 sign not match"), ("feishu", "19021 sign match fail")]
)
def test_a_refusal_with_status_200_is_a_failure(
    vendor: str, error: str, receiver: Receiver, settings: Any
) -> None:
    settings.CHAT_HOSTS = {receiver.netloc: vendor}
    receiver.answer = VENDORS[vendor]
    admin = join(TenantFactory(), Role.ADMIN)
    subscription = subscribe(admin, shared=True, channel="chat", address=receiver.url, secret="wrong")
    record(admin.tenant, "web-1")

    delivering.deliver()

    subscription.refresh_from_db()
    assert subscription.last_error.startswith(error)
    assert subscription.failing_since is not None
    assert subscription.position < Event.objects.latest("number").number


@pytest.mark.parametrize(
    "url",
    [
        "http://oapi.dingtalk.com/robot/send?access_token=x",
        "https://oapi.dingtalk.com.evil.example/robot/send",
        "https://evil.example/?oapi.dingtalk.com",
        "https://user:pass@oapi.dingtalk.com/robot/send",
        "https://oapi.dingtalk.com:8443/robot/send",
        "https://169.254.169.254/",
        "https://logic.azure.com.evil.example/",
        "javascript:alert(1)",
        "https://[::1",
        "https://oapi.dingtalk.com/ x",
    ],
)
def test_an_address_of_no_robot_is_refused(url: str) -> None:
    assert check_robot_url(url)
    with pytest.raises(DomainError) as refused:
        subscribe(join(TenantFactory(), Role.ADMIN), channel="chat", address=url)
    assert "address" in refused.value.errors
