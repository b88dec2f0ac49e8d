"""Messages to people: by a real mail server, and to robots that check what their vendors document."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from email import message_from_bytes, policy
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from aiosmtpd.controller import Controller
from django.utils import timezone

from api.domain_errors import DomainError
from approvals.services.requests import record_request_event
from events.models import Event
from notifications import delivering
from notifications.defaults import DEFAULT_CODES
from notifications.models import DeliveryRun, Subscription
from notifications.services import subscriptions
from notifications.timing import find_send_time
from tenants.models import Membership
from tenants.scoping import Role, Scope
from tests.approvals.making import make_request
from tests.factories import TenantFactory
from tests.notifications.making import join, record, subscribe

pytestmark = pytest.mark.django_db


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


def test_a_member_who_becomes_visible_after_a_later_one_is_not_left_out() -> None:
    delivering.deliver()
    early, late = join(TenantFactory()), join(TenantFactory())
    Membership.objects.filter(pk=early.pk).update(created_at=timezone.now() + timedelta(hours=1))
    DeliveryRun.objects.update(members_seen_at=timezone.now() - timedelta(seconds=1))
    delivering.deliver()  # It sees both; `early` joined long after `late` now.
    assert Subscription.objects.count() == 2

    now = DeliveryRun.objects.get().members_seen_at
    slow = join(TenantFactory())
    Membership.objects.filter(pk=slow.pk).update(created_at=now - timedelta(seconds=10))
    Subscription.objects.filter(user=late.user).delete()
    delivering.deliver()

    assert set(Subscription.objects.values_list("user", flat=True)) == {early.user_id, slow.user_id}


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
