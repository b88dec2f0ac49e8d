"""The pages of webhooks and subscriptions, as an administrator and a member use them."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse

from notifications.models import Subscription, Webhook
from tenants.models import Membership
from tenants.scoping import Role
from tests.factories import MembershipFactory
from tests.isolation.notification_cases import create_subscription, create_webhook

pytestmark = pytest.mark.django_db

WEBHOOK = {
    "name": "deployer",
    "url": "http://127.0.0.1:9/hook",
    "groups": ["trouble"],
    "other_codes": "vm.*, host.created",
}


@pytest.fixture
def admin() -> Membership:
    return MembershipFactory(role=Role.ADMIN)


def sign_in(member: Membership) -> Client:
    client = Client()
    client.force_login(member.user)
    return client


def test_a_webhook_is_created_with_the_ticked_events_and_its_secret_is_shown_once(admin: Membership) -> None:
    client = sign_in(admin)
    form = client.get("/webhooks/new/").content.decode()
    assert "Tasks that fail or need attention" in form
    key = re.search(r'name="secret_key" value="([^"]+)"', form)
    assert key

    page = client.post("/webhooks/new/", WEBHOOK | {"secret_key": key[1]})
    again = client.post("/webhooks/new/", WEBHOOK | {"secret_key": key[1]}, follow=True)

    webhook = Webhook.objects.get()
    assert webhook.codes == ["host.created", "task.errored", "task.failed", "task.stuck", "vm.*"]
    secret = re.search(r"whsec_[A-Za-z0-9+/=]+", page.content.decode())
    assert secret
    assert secret[0] not in again.content.decode()
    detail = client.get(reverse("webhook-detail-page", args=[webhook.pk])).content.decode()
    assert secret[0] not in detail
    assert WEBHOOK["url"] in detail
    form = client.get(reverse("webhook-edit", args=[webhook.pk])).content.decode()
    assert re.search(r'value="trouble" checked', form)
    assert 'value="host.created, vm.*"' in form


def test_what_is_wrong_is_told_beside_its_field_and_what_was_typed_is_kept(admin: Membership) -> None:
    page = sign_in(admin).post("/webhooks/new/", WEBHOOK | {"url": "ftp://x", "other_codes": "A B"})

    text = page.content.decode()
    assert page.status_code == 400
    assert 'value="deployer"' in text
    assert 'value="A, B"' in text
    assert not Webhook.objects.exists()


def test_a_failed_delivery_is_sent_again_with_a_click(admin: Membership) -> None:
    pk = create_webhook(admin)["id"]
    client = sign_in(admin)
    assert "Send again" in client.get(f"/webhooks/{pk}/").content.decode()

    page = client.post(f"/webhooks/{pk}/redeliver/", {"number": "1"}, follow=True)

    assert "1 event will be sent again." in page.content.decode()
    assert Webhook.objects.get(pk=pk).deliveries.get().status == "queued"
    page = client.post(f"/webhooks/{pk}/redeliver/", {"number": "1"}, follow=True)
    assert "nothing to send again" in page.content.decode()


@pytest.mark.parametrize("path", ["", "edit/", "secret/", "remove/", "test/", "redeliver/"])
def test_another_tenants_webhook_is_not_there_and_a_member_may_not(admin: Membership, path: str) -> None:
    pk = create_webhook(admin)["id"]
    stranger = sign_in(MembershipFactory(role=Role.ADMIN))
    member = sign_in(MembershipFactory(tenant=admin.tenant, role=Role.OPERATOR))
    send = "get" if path in {"", "edit/", "secret/", "remove/"} else "post"

    assert getattr(stranger, send)(f"/webhooks/{pk}/{path}").status_code == 404
    assert getattr(member, send)(f"/webhooks/{pk}/{path}").status_code == 403
    assert not any(Webhook.objects.values_list("test_requested_at", flat=True))


def test_a_member_subscribes_and_sees_that_of_the_tenant_without_changing_it(admin: Membership) -> None:
    shared = create_subscription(admin)["id"]
    member = MembershipFactory(tenant=admin.tenant, role=Role.VIEWER)
    client = sign_in(member)

    fields = {
        "name": "mine",
        "channel": "mail",
        "timing": "daily",
        "groups": ["trouble"],
        "quiet_from": "22:00",
    }
    refused = client.post("/notifications/new/", fields)
    assert "Enter both times, or none." in refused.content.decode()
    client.post("/notifications/new/", fields | {"quiet_to": "07:00"})

    own = Subscription.objects.get(user=member.user)
    text = client.get("/notifications/").content.decode()
    assert "22:00–07:00" in text
    assert "operations" in text
    assert "ops@example.org" not in text
    assert client.get(f"/notifications/{shared}/edit/").status_code == 403
    assert client.post(f"/notifications/{shared}/test/").status_code == 403
    page = client.post(f"/notifications/{own.pk}/edit/", fields | {"quiet_from": "", "timing": "at_once"})
    assert page.status_code == 302
    own.refresh_from_db()
    assert (own.timing, own.quiet_from, own.active) == ("at_once", None, False)
    assert sign_in(admin).get(f"/notifications/{own.pk}/edit/").status_code == 404
