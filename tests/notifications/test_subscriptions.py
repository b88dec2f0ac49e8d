"""Messages to people: by a real mail server, and to robots that check what their vendors document."""

from __future__ import annotations

import hmac
import json
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from email import message_from_bytes, policy
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest
from aiosmtpd.controller import Controller
from django.utils import timezone

from api.domain_errors import DomainError
from approvals.services.requests import record_request_event
from events.models import Event
from events.recording import record_event
from notifications import delivering
from notifications.chat_robots import MAX_TEXT_BYTES, check_robot_url
from notifications.defaults import DEFAULT_CODES
from notifications.models import DeliveryRun, Subscription
from notifications.services import subscriptions
from notifications.timing import find_send_time
from tenants.models import Membership, Tenant, User
from tenants.scoping import Role, Scope
from tests.approvals.making import make_request
from tests.factories import MembershipFactory, TenantFactory, UserFactory
from tests.notifications.receiver import Answer, Received, Receiver

pytestmark = pytest.mark.django_db

ROBOT_SECRET = "SEC000"


class Mailbox:
    """What a mail server has taken, and the addresses that it refuses."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, str]] = []
        self.refused: set[str] = set()

    async def handle_RCPT(  # noqa: N802 - aiosmtpd calls it by this name.
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if address in self.refused:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, _server: Any, _session: Any, envelope: Any
    ) -> str:
        mail = message_from_bytes(envelope.content, policy=policy.default)
        text = f"{mail['Subject']}\n{mail.get_content()}"
        self.mails += [(address, text) for address in envelope.rcpt_tos]
        return "250 OK"


class MailServer(Controller):
    """A server at any free port, which aiosmtpd itself does not find out."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@pytest.fixture
def mailbox(settings: Any) -> Iterator[Mailbox]:
    mailbox = Mailbox()
    controller = MailServer(mailbox, hostname="127.0.0.1", port=0)
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", controller.port
    settings.PORTAL_URL = "https://portal.example.org"
    yield mailbox
    controller.stop()


def join(tenant: Tenant, role: Role = Role.OPERATOR, **fields: Any) -> Membership:
    user = UserFactory(**{"email": f"{role}@example.org", **fields})
    return MembershipFactory(tenant=tenant, user=user, role=role)


def subscribe(member: Membership, **fields: Any) -> Subscription:
    scope = Scope(member.user, member.tenant, Role(member.role))
    fields = {"name": "mine", "channel": "mail", "codes": ["task.failed"], **fields}
    return subscriptions.create_subscription(scope=scope, fields=fields)


def record(tenant: Tenant, name: str, *, user: User | None = None, code: str = "task.failed") -> Event:
    actor = {"actor_id": user.pk, "actor_name": user.get_username(), "actor_type": "user"} if user else {}
    parameters = {"kind": "vms.start", "task": "0" * 8 + "-0000-4000-8000-" + "0" * 12}
    return record_event(
        code, tenant_id=tenant.pk, object_type="vm", object_name=name, parameters=parameters, **actor
    )


def be_due() -> None:
    Subscription.objects.update(due_at=timezone.now() - timedelta(seconds=1))


def test_a_member_is_told_of_own_failed_tasks_and_of_nothing_else(mailbox: Mailbox) -> None:
    member = join(TenantFactory(name="Shop"))
    subscribe(member, codes=["*"])
    record(member.tenant, "web-1", user=member.user)
    record(member.tenant, "of-a-colleague", user=join(member.tenant, Role.ADMIN).user)
    record(TenantFactory(), "of-another-tenant", user=member.user)

    delivering.deliver()

    ((address, text),) = mailbox.mails
    assert address == "operator@example.org"
    assert text.startswith("[Shop] Start VM: failed · web-1\n")
    assert "https://portal.example.org/jobs/00000000-0000-4000-8000-000000000000/" in text
    assert "colleague" not in text
    assert "another" not in text
    delivering.deliver()
    assert len(mailbox.mails) == 1


def test_an_approver_is_told_what_waits_and_the_requester_what_became_of_it(mailbox: Mailbox) -> None:
    tenant = TenantFactory()
    requester, approver = (
        join(tenant, email="requester@example.org"),
        join(tenant, email="approver@example.org"),
    )
    viewer = join(tenant, Role.VIEWER, email="viewer@example.org")
    for member in (requester, approver, viewer):
        subscribe(member, codes=DEFAULT_CODES)
    request = make_request(tenant, approver=approver.user, requester=requester.user)

    delivering.deliver()
    assert [address for address, _text in mailbox.mails] == ["approver@example.org"]
    assert f"https://portal.example.org/requests/{request.pk}/" in mailbox.mails[0][1]

    record_request_event("rejected", request)
    delivering.deliver()
    assert [address for address, _text in mailbox.mails[1:]] == ["requester@example.org"]


def test_an_administrator_is_told_of_all_and_several_events_are_one_mail(mailbox: Mailbox) -> None:
    admin = join(TenantFactory(), Role.ADMIN)
    subscribe(admin)
    for number in range(25):
        record(admin.tenant, f"web-{number}")

    delivering.deliver()

    ((_address, text),) = mailbox.mails
    assert "25 events" in text.splitlines()[0]
    assert "and 5 more" in text


def test_a_name_with_line_breaks_begins_no_header_and_no_line(mailbox: Mailbox) -> None:
    admin = join(TenantFactory(), Role.ADMIN)
    subscribe(admin)
    record(admin.tenant, "web\r\nBcc: all@example.org\n\nhello")

    delivering.deliver()

    ((_address, text),) = mailbox.mails
    assert "web Bcc: all@example.org hello" in text.splitlines()[0]


def test_one_refused_recipient_of_three_stops_neither_the_others_nor_the_next_mail(mailbox: Mailbox) -> None:
    admin = join(TenantFactory(), Role.ADMIN)
    mailbox.refused = {"b@example.org"}
    subscription = subscribe(admin, shared=True, address="a@example.org, b@example.org,c@example.org")
    record(admin.tenant, "web-1")

    delivering.deliver()

    assert sorted(address for address, _text in mailbox.mails) == ["a@example.org", "c@example.org"]
    subscription.refresh_from_db()
    assert subscription.last_error == "b@example.org: 550 no such mailbox"
    assert subscription.failing_since is None
    record(admin.tenant, "web-2")
    delivering.deliver()
    assert len(mailbox.mails) == 4


def test_a_mail_server_that_is_away_is_tried_again_and_nothing_is_forgotten(
    mailbox: Mailbox, settings: Any
) -> None:
    admin = join(TenantFactory(), Role.ADMIN)
    subscription = subscribe(admin)
    record(admin.tenant, "web-1")
    port, settings.EMAIL_PORT = settings.EMAIL_PORT, 9
    delivering.deliver()
    subscription.refresh_from_db()
    assert subscription.failing_since is not None
    record(admin.tenant, "web-2")

    settings.EMAIL_PORT = port
    be_due()
    delivering.deliver()

    ((_address, text),) = mailbox.mails
    assert "web-1" in text
    assert "web-2" in text
    subscription.refresh_from_db()
    assert subscription.failing_since is None


def test_after_days_without_success_it_is_switched_off_with_an_event(mailbox: Mailbox, settings: Any) -> None:
    admin = join(TenantFactory(), Role.ADMIN)
    subscription = subscribe(admin)
    settings.EMAIL_PORT = 9
    record(admin.tenant, "web-1")
    Subscription.objects.update(failing_since=timezone.now() - timedelta(days=4))

    delivering.deliver()

    subscription.refresh_from_db()
    assert not subscription.active
    assert Event.objects.filter(code="subscription.switched_off", tenant=admin.tenant).exists()


def test_whoever_is_not_a_member_any_more_is_told_nothing(mailbox: Mailbox) -> None:
    member = join(TenantFactory())
    subscribe(member)
    record(member.tenant, "web-1", user=member.user)
    member.delete()

    delivering.deliver()

    assert mailbox.mails == []
    assert not Subscription.objects.exists()


def test_new_members_begin_with_a_subscription_that_they_can_delete(mailbox: Mailbox) -> None:
    before = join(TenantFactory())
    delivering.deliver()  # From its first run on, whoever joins.
    DeliveryRun.objects.update(members_seen_at=timezone.now())
    Membership.objects.filter(pk=before.pk).update(created_at=timezone.now() - timedelta(hours=1))
    member = join(TenantFactory())

    delivering.deliver()

    (subscription,) = Subscription.objects.all()
    assert (subscription.user, subscription.tenant) == (member.user, member.tenant)
    record(member.tenant, "web-1", user=member.user)
    delivering.deliver()
    assert [address for address, _text in mailbox.mails] == ["operator@example.org"]
    subscription.delete()
    delivering.deliver()
    assert not Subscription.objects.exists()


def test_a_digest_waits_and_quiet_hours_are_kept(mailbox: Mailbox) -> None:
    admin = join(TenantFactory(), Role.ADMIN)
    subscribe(admin, timing="hourly")
    record(admin.tenant, "web-1")

    delivering.deliver()
    assert mailbox.mails == []
    record(admin.tenant, "web-2")
    be_due()
    delivering.deliver()

    ((_address, text),) = mailbox.mails
    assert "2 events" in text.splitlines()[0]


@pytest.mark.parametrize(
    ("timing", "quiet", "now", "expected"),
    [
        ("at_once", None, "10:20", "10:20"),
        ("at_once", (time(22), time(7)), "23:30", "07:00+1"),
        ("at_once", (time(22), time(7)), "06:59", "07:00"),
        ("at_once", (time(22), time(7)), "07:00", "07:00"),
        ("at_once", (time(12), time(13)), "12:10", "13:00"),
        ("hourly", None, "10:20", "11:00"),
        ("hourly", (time(11), time(12)), "10:20", "12:00"),
        ("daily", None, "07:59", "08:00"),
        ("daily", None, "08:00", "08:00+1"),
        ("daily", (time(7), time(9)), "07:00", "09:00"),
    ],
)
def test_the_time_of_the_next_message(timing: str, quiet: Any, now: str, expected: str) -> None:
    zone = ZoneInfo("Asia/Shanghai")
    subscription = Subscription(timing=timing)
    if quiet:
        subscription.quiet_from, subscription.quiet_to = quiet
    at = datetime.combine(date(2026, 3, 9), time.fromisoformat(now), zone).astimezone(UTC)

    found = find_send_time(subscription, at, zone).astimezone(zone)

    clock, _plus, days = expected.partition("+")
    assert (found.strftime("%H:%M"), found.day) == (clock, 9 + int(days or 0))


# --- Chats -------------------------------------------------------------------------------------------------


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


def test_one_of_the_tenants_takes_an_administrator() -> None:
    member = join(TenantFactory())
    with pytest.raises(DomainError) as refused:
        subscribe(member, shared=True, address="all@example.org")
    assert refused.value.code == "role_too_low"


def test_a_test_message_shows_its_result(mailbox: Mailbox, settings: Any) -> None:
    admin = join(TenantFactory(), Role.ADMIN)
    subscription = subscribe(admin)
    scope = Scope(admin.user, admin.tenant, Role.ADMIN)
    subscriptions.test_subscription(scope=scope, subscription_id=subscription.pk)
    delivering.deliver()
    settings.EMAIL_HOST = ""
    subscription.refresh_from_db()
    assert (subscription.test_error, len(mailbox.mails)) == ("", 1)

    subscriptions.test_subscription(scope=scope, subscription_id=subscription.pk)
    delivering.deliver()
    subscription.refresh_from_db()
    assert "EMAIL_HOST" in subscription.test_error
