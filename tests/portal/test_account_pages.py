"""The pages of cloud accounts: each page and button, for every role, for another tenant, and with wrong input."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cloudaccounts.models import CloudAccount, ResourceType, SyncLog
from tasks.models import Job
from tenants.scoping import Role
from tests.factories import (
    CloudAccountFactory,
    CloudResourceFactory,
    MembershipFactory,
    TenantFactory,
    UserFactory,
    VirtualMachineFactory,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def held_back(own):
    return SyncLog.objects.create(
        account=own, type="volume", state="failed", held_back=12, message="Too many.", ended_at=timezone.now()
    )


def text(answer):
    return answer.content.decode()


# --- Who may see and do what -------------------------------------------------------------------------------

PAGES = ["/accounts/", "/accounts/{account}/", "/accounts/{account}/live/"]
# Each button, what it sends, the least role that may press it, and what has been done then.
BUTTONS = [
    ("/accounts/{account}/verify/", {}, Role.ADMIN, Job.objects),
    (
        "/accounts/{account}/switch/",
        {"active": "false"},
        Role.ADMIN,
        CloudAccount.objects.filter(active=False),
    ),
    ("/accounts/{account}/sync/", {}, Role.OPERATOR, SyncLog.objects.running()),
    ("/accounts/{account}/sync/", {"types": "server"}, Role.OPERATOR, SyncLog.objects.running()),
    ("/accounts/{account}/remove/", {"name": "Ours"}, Role.ADMIN, Job.objects),
    ("/sync-logs/{log}/accept-losses/", {}, Role.ADMIN, SyncLog.objects.running()),
]


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize(("address", "form", "needed", "done"), BUTTONS)
def test_a_button_does_what_the_role_allows(as_role, own, held_back, address, form, needed, done, role):
    answer = as_role(role).post(address.format(account=own.pk, log=held_back.pk), form, follow=True)

    assert done.all().exists() == role.covers(needed)
    assert ("You need the role" in text(answer)) is not role.covers(needed)


@pytest.mark.parametrize(("address", "form", "needed", "done"), BUTTONS)
def test_anothers_account_and_what_never_was_are_not_there(
    as_role, own, held_back, address, form, needed, done
):
    stranger = as_role(Role.ADMIN, of=TenantFactory())

    theirs = stranger.post(address.format(account=own.pk, log=held_back.pk), form)
    never = stranger.post(address.format(account=10**9, log=10**9), form)

    assert (theirs.status_code, never.status_code) == (404, 404)
    assert not done.all().exists()


@pytest.mark.parametrize("address", sorted({address for address, *_rest in BUTTONS}))
def test_a_button_is_posted_with_its_token_and_by_who_signed_in(as_role, own, held_back, address):
    address = address.format(account=own.pk, log=held_back.pk)
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(MembershipFactory(role=Role.ADMIN).user)

    assert as_role(Role.ADMIN).get(address).status_code == 405
    assert careful.post(address).status_code == 403
    assert Client().post(address)["Location"].startswith("/login/")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_everybody_what_is_theirs(as_role, own, page):
    html = text(as_role(Role.VIEWER).get(page.format(account=own.pk)))
    strangers = as_role(Role.ADMIN, of=TenantFactory()).get(page.format(account=own.pk))

    assert "Ours" in html
    assert strangers.status_code == (404 if "{account}" in page else 200)
    assert "Ours" not in text(strangers)
    assert not re.findall(r"<script(?![^>]*\bsrc=)|\son[a-z]+=|\sstyle=", html)


@pytest.mark.parametrize(
    ("role", "shown", "hidden"),
    [
        (Role.VIEWER, [], ["/sync/", "/verify/", "/edit/", "/switch/", "/remove/", "/accept-losses/"]),
        (Role.OPERATOR, ["/sync/"], ["/verify/", "/edit/", "/switch/", "/remove/", "/accept-losses/"]),
        (Role.ADMIN, ["/sync/", "/verify/", "/edit/", "/switch/", "/remove/", "/accept-losses/"], []),
    ],
)
def test_the_page_of_an_account_has_the_buttons_of_the_role(as_role, own, held_back, role, shown, hidden):
    html = text(as_role(role).get(f"/accounts/{own.pk}/"))

    assert [path for path in shown if path not in html] == []
    assert [path for path in hidden if path in html] == []
    assert "12 losses held back" in html
    assert ("/accounts/new/" in text(as_role(role).get("/accounts/"))) is role.covers(Role.ADMIN)


def test_of_a_shared_account_a_tenant_sees_name_provider_and_regions(as_role, account, staff):
    CloudAccount.objects.update(regions=["RegionOne"], last_error="No such user.", access_id="platform-user")
    secrets = ["127.0.0.1:9", "platform-user", "No such user.", "/sync/", "/verify/", "10 minutes"]

    for page in ("/accounts/", f"/accounts/{account.pk}/"):
        html = text(as_role(Role.ADMIN).get(page)).partition("<main ")[2]
        assert all(word in html for word in ("one", "OpenStack", "RegionOne"))
        assert [word for word in secrets if word in html] == []
    refused = as_role(Role.ADMIN).post(f"/accounts/{account.pk}/sync/", follow=True)
    assert "Platform administrators only." in text(refused)
    assert "platform-user" in text(staff.get(f"/accounts/{account.pk}/"))
    edited = as_role(Role.ADMIN).get(f"/accounts/{account.pk}/edit/", follow=True)
    assert "Platform administrators only." in text(edited)
    assert "platform-user" not in text(edited)


# --- The list ----------------------------------------------------------------------------------------------


def test_the_list_is_searched_and_tells_how_each_does(as_role, own, staff):
    CloudAccountFactory(tenant=own.tenant, name="Other", active=False, last_error="No such user.")
    done = timezone.now() - timedelta(hours=1)
    SyncLog.objects.create(account=own, type="server", state="success", ended_at=done)

    html = text(as_role(Role.VIEWER).get("/accounts/"))

    assert f"{done:%Y-%m-%d %H:%M:%S}" in html
    assert all(word in html for word in ("switched off", "No such user.", "127.0.0.1:9"))
    assert "Other" not in text(as_role(Role.VIEWER).get("/accounts/?search=our&page=9"))
    assert "Ours" in text(staff.get("/accounts/?search=acme"))
    assert "Ours" not in text(staff.get("/accounts/?search=nobody"))


def test_the_banner_tells_a_tenant_of_its_own_accounts_and_staff_of_all(as_role, own, account, staff):
    CloudAccount.objects.update(created_at=timezone.now() - timedelta(days=1))
    for page in ("/accounts/", "/resources/"):
        banner = re.findall(r'role="alert">(.*?)</p>', text(as_role(Role.VIEWER).get(page)))
        assert len(banner) == 1
        assert "Ours</a>: what is shown of it is old; the type" in banner[0]
        assert text(staff.get(page)).count("was never synced.") == 2
    assert "stale" in text(as_role(Role.VIEWER).get(f"/accounts/{own.pk}/"))
    for number in range(7):
        CloudAccountFactory(name=f"old-{number}")
    CloudAccount.objects.update(created_at=timezone.now() - timedelta(days=1))
    assert "4 more accounts are just as old." in text(staff.get("/accounts/"))


# --- The page of an account --------------------------------------------------------------------------------


def test_the_page_follows_what_runs_and_then_stops(as_role, own):
    client = as_role(Role.OPERATOR)
    CloudResourceFactory(account=own, type="server")
    assert "hx-get" not in text(client.get(f"/accounts/{own.pk}/"))

    client.post(f"/accounts/{own.pk}/sync/", {"types": ["server", "port"]})

    assert set(SyncLog.objects.running().values_list("type", flat=True)) == {"server", "port"}
    running = text(client.get(f"/accounts/{own.pk}/live/"))
    assert f'hx-get="/accounts/{own.pk}/live/"' in running
    assert re.search(r'value="server"[^>]* disabled', running)
    SyncLog.objects.update(state="success", ended_at=timezone.now())
    ended = text(client.get(f"/accounts/{own.pk}/live/"))
    assert "hx-get" not in ended
    assert f'/resources/?account={own.pk}&amp;type=server">1</a>' in ended
    assert "<header " not in ended
    assert client.get("/accounts/1000000/live/")["HX-Refresh"] == "true"


def test_nonsense_and_an_account_that_is_off_are_told(as_role, own):
    client = as_role(Role.ADMIN)
    nonsense = client.post(f"/accounts/{own.pk}/sync/", {"types": "unicorn"}, follow=True)
    assert "Unknown resource type" in text(nonsense)
    CloudAccount.objects.update(version=5)
    stale = client.post(f"/accounts/{own.pk}/switch/", {"active": "false", "version": "1"}, follow=True)
    assert "Modified since you read it" in text(stale)

    client.post(f"/accounts/{own.pk}/switch/", {"active": "false", "version": "5"})

    off = text(client.get(f"/accounts/{own.pk}/"))
    assert "Switch on" in off
    assert "/sync/" not in off
    refused = client.post(f"/accounts/{own.pk}/sync/", follow=True)
    assert "The account is disabled. Enable it to sync." in text(refused)


def test_losses_that_were_held_back_are_accepted_once(as_role, own, held_back):
    client = as_role(Role.ADMIN)

    answer = client.post(f"/sync-logs/{held_back.pk}/accept-losses/")

    accepted = SyncLog.objects.running().get()
    assert accepted.losses_accepted
    assert answer["Location"] == f"/sync-logs/{accepted.pk}/"
    SyncLog.objects.running().update(state="success", ended_at=timezone.now())
    again = client.post(f"/sync-logs/{held_back.pk}/accept-losses/", follow=True)
    assert "No deletions are on hold here" in text(again)


def test_a_removal_wants_the_name_and_leads_to_its_job(as_role, own):
    client = as_role(Role.ADMIN)
    wrong = client.post(f"/accounts/{own.pk}/remove/", {"name": "Theirs"}, follow=True)
    assert "Type &#x27;Ours&#x27; to confirm." in text(wrong)
    vm = VirtualMachineFactory(account=own)
    used = client.post(f"/accounts/{own.pk}/remove/", {"name": "Ours"}, follow=True)
    assert "still managed here are virtual machines (1)." in text(used)
    vm.delete()

    answer = client.post(f"/accounts/{own.pk}/remove/", {"name": "Ours", "version": own.version})

    job = Job.objects.get()
    assert answer["Location"] == f"/jobs/{job.pk}/"
    assert "Delete cloud account" in text(client.get(f"/accounts/{own.pk}/live/"))


def test_what_the_cloud_says_is_shown_even_when_it_is_odd(as_role, own):
    CloudAccount.objects.update(
        facts={"project_id": "<p>", "regions": {"items": ["compute", "volume"]}},
        last_error="Not <b>good</b>.",
    )

    html = text(as_role(Role.VIEWER).get(f"/accounts/{own.pk}/"))

    assert "&lt;p&gt;" in html
    assert "items: <small>compute, volume</small>" in html
    assert "Not &lt;b&gt;good&lt;/b&gt;." in html


@pytest.mark.parametrize("page", ["/accounts/", "/accounts/{account}/", "/accounts/{account}/edit/"])
def test_many_accounts_cost_no_more_queries_than_few(as_role, own, page):
    client, kinds = as_role(Role.ADMIN), list(ResourceType.objects.all())
    page = page.format(account=own.pk)

    def grow(count):
        for _number in range(count):
            account = CloudAccountFactory(tenant=own.tenant)
            account.resource_types.set(kinds[:2])
            for kind in kinds[: count + 2]:
                SyncLog.objects.create(
                    account=own,
                    type=kind.code,
                    state="success",
                    ended_at=timezone.now(),
                    asked_by=UserFactory(),
                )
            CloudResourceFactory(account=own, type="server")

    def cost():
        with CaptureQueriesContext(connection) as queries:
            assert client.get(page).status_code == 200
        return len(queries)

    grow(1)
    client.get(page)
    few = cost()
    grow(6)
    assert cost() == few
    assert few <= 20
