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

PAGES = ["/accounts/", "/accounts/{account}/", "/accounts/{account}/types/", "/accounts/{account}/regions/"]
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
    ("/accounts/{account}/remove/", {"confirm_name": "Ours"}, Role.ADMIN, Job.objects),
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
    html = text(as_role(role).get(f"/accounts/{own.pk}/types/"))

    assert [path for path in shown if path not in html] == []
    assert [path for path in hidden if path in html] == []
    assert "12 resources of type volume disappeared from the cloud." in html
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
    CloudAccountFactory(tenant=own.tenant, name="Off", active=False)
    CloudAccountFactory(tenant=own.tenant, name="Other", last_error="No such user.")
    done = timezone.now() - timedelta(hours=1)
    SyncLog.objects.create(account=own, type="server", state="success", ended_at=done)

    html = text(as_role(Role.VIEWER).get("/accounts/"))

    assert f"{done:%Y-%m-%d %H:%M:%S}" in html
    assert all(word in html for word in ("Disabled", "Connection failed", "No such user.", "127.0.0.1:9"))
    assert "Other" not in text(as_role(Role.VIEWER).get("/accounts/?search=our&page=9"))
    assert "Ours" in text(staff.get("/accounts/?search=acme"))
    assert "Ours" not in text(staff.get("/accounts/?search=nobody"))


def test_the_banner_tells_a_tenant_of_its_own_accounts_and_staff_of_all(as_role, own, account, staff):
    CloudAccount.objects.update(created_at=timezone.now() - timedelta(days=1))
    for page in ("/accounts/", "/resources/"):
        banner = re.findall(r'role="alert">(.*?)</p>', text(as_role(Role.VIEWER).get(page)))
        assert len(banner) == 1
        assert "Ours</a>: data is out of date; type" in banner[0]
        assert text(staff.get(page)).count("was never synced.") == 2
    assert "Out of date" in text(as_role(Role.VIEWER).get(f"/accounts/{own.pk}/"))
    for number in range(7):
        CloudAccountFactory(name=f"old-{number}")
    CloudAccount.objects.update(created_at=timezone.now() - timedelta(days=1))
    assert "Data of 4 more accounts is out of date." in text(staff.get("/accounts/"))


# --- The page of an account --------------------------------------------------------------------------------


def panel(client, address, etag="", name="account"):
    """What the page's script asks for."""
    return client.get(address, headers={"X-Panel": name, **({"If-None-Match": etag} if etag else {})})


def test_the_page_follows_what_runs_and_then_stops(as_role, own):
    client, page = as_role(Role.OPERATOR), f"/accounts/{own.pk}/types/"
    CloudResourceFactory(account=own, type="server")
    quiet = panel(client, page)
    assert "data-busy" not in text(quiet)

    client.post(f"/accounts/{own.pk}/sync/", {"types": ["server", "port"]})

    assert set(SyncLog.objects.running().values_list("type", flat=True)) == {"server", "port"}
    running = panel(client, page, quiet["ETag"])
    assert "data-busy" in text(running)
    assert re.search(r'value="server"[^>]* disabled', text(running))
    assert panel(client, page, running["ETag"]).status_code == 304
    SyncLog.objects.update(state="success", ended_at=timezone.now())
    ended = text(panel(client, page, running["ETag"]))
    assert "data-busy" not in ended
    assert re.search(rf'/resources/\?account={own.pk}&amp;type=server">.* 1</a>', ended)
    assert "<header " not in ended
    assert panel(client, "/accounts/1000000/types/").status_code == 404


@pytest.mark.parametrize("tab", ["", "types/", "regions/"])
def test_nothing_in_a_panel_differs_from_one_rendering_to_the_next(as_role, own, held_back, tab):
    client, page = as_role(Role.ADMIN), f"/accounts/{own.pk}/{tab}"

    first = panel(client, page)

    assert panel(client, page, first["ETag"]).status_code == 304
    assert "csrfmiddlewaretoken" not in text(first)


def test_a_button_of_a_panel_stays_on_its_page_and_a_dialog_leads_on(as_role, own, held_back):
    client, htmx = as_role(Role.ADMIN), {"HX-Request": "true"}

    synced = client.post(f"/accounts/{own.pk}/sync/", {"types": "server", "tab": "types"}, headers=htmx)
    refused = client.post(f"/accounts/{own.pk}/sync/", {"types": "unicorn"}, headers=htmx)
    accepted = client.post(f"/sync-logs/{held_back.pk}/accept-losses/", {"dialog": "accept"}, headers=htmx)

    assert "Syncing 1 resource type." in text(synced)
    assert "Unknown resource type" in text(refused)
    assert accepted["HX-Redirect"] == f"/sync-logs/{SyncLog.objects.get(type='volume', state='running').pk}/"
    SyncLog.objects.running().update(state="success", ended_at=timezone.now())
    again = client.post(f"/sync-logs/{held_back.pk}/accept-losses/", {"dialog": "accept"}, headers=htmx)
    assert again["HX-Redirect"] == f"/sync-logs/{held_back.pk}/"
    assert "No deletions are on hold here" in text(client.get(again["HX-Redirect"]))
    plain = client.post(f"/accounts/{own.pk}/sync/", {"types": "port", "tab": "types"})
    assert plain["Location"] == f"/accounts/{own.pk}/types/"


def test_a_refused_credential_is_told_in_the_list_and_on_the_page(as_role, own, staff):
    CloudAccount.objects.filter(pk=own.pk).update(
        last_verified_at=timezone.now(), sign_in_failed_at=timezone.now()
    )
    client = as_role(Role.VIEWER)

    for page in ("/accounts/", f"/accounts/{own.pk}/"):
        html = text(client.get(page))
        assert '<span class="badge bad failed">Sign-in failed</span>' in html
        assert "badge good active" not in html
    assert "wrong, disabled or expired credentials" in html
    for status, found in [("failed", True), ("active", False), ("disabled", False), ("unverified", False)]:
        assert ("Ours" in text(client.get(f"/accounts/?status={status}")).partition("<main ")[2]) is found
    # Of a shared account, a tenant learns nothing by a filter.
    shared = CloudAccountFactory(name="shared-one", last_error="Secret.")
    assert "shared-one" not in text(client.get("/accounts/?status=failed"))
    assert "shared-one" in text(staff.get("/accounts/?status=failed"))
    assert shared.tenant is None


def test_a_filter_that_does_not_exist_is_refused_in_words(as_role, own):
    html = text(as_role(Role.VIEWER).get("/accounts/?status=blue&provider=%00&page=x&ordering=secret"))

    assert "The filter “Status” has no value “blue”; it is not applied." in html
    assert "Ours" in html.partition("<main ")[2]
    none = text(as_role(Role.VIEWER).get("/accounts/?search=nothing-of-the-kind"))
    assert "No results for these filters" in none
    assert "Remove the filter “nothing-of-the-kind”" in none


def test_syncs_are_drawn_by_day(as_role, own):
    assert "Sync duration" not in text(as_role(Role.VIEWER).get(f"/accounts/{own.pk}/"))
    now = timezone.now()
    for days, seconds, state in [
        (0, 4, "success"),
        (0, 8, "success"),
        (1, 99, "failed"),
        (30, 50, "success"),
    ]:
        SyncLog.objects.create(
            account=own,
            type="server",
            state=state,
            started_at=now - timedelta(days=days, seconds=seconds),
            ended_at=now - timedelta(days=days),
        )

    for page in (f"/accounts/{own.pk}/", "/sync-logs/"):
        html = text(as_role(Role.VIEWER).get(page))
        assert "Sync duration" in html
        table = re.search(r'aria-label="Sync duration">(.*?)</table>', html, re.DOTALL)[1]
        assert re.findall(r'<td class="number">([^<]*)', table) == ["6 s", "8 s"]
        assert html.count('class="bar series-bad"') == 1
    empty = text(as_role(Role.VIEWER, of=TenantFactory()).get("/sync-logs/"))
    assert "Sync duration" not in empty
    assert "No syncs yet" in empty


def test_a_panel_does_not_draw_the_charts_again(as_role, own):
    client = as_role(Role.VIEWER)

    with CaptureQueriesContext(connection) as queries:
        client.get(f"/accounts/{own.pk}/", headers={"X-Panel": "account"})

    assert not [query for query in queries if "AVG(" in query["sql"]]


def test_nonsense_and_an_account_that_is_off_are_told(as_role, own):
    client = as_role(Role.ADMIN)
    nonsense = client.post(f"/accounts/{own.pk}/sync/", {"types": "unicorn"}, follow=True)
    assert "Unknown resource type" in text(nonsense)
    CloudAccount.objects.update(version=5)
    stale = client.post(f"/accounts/{own.pk}/switch/", {"active": "false", "version": "1"}, follow=True)
    assert "Modified since you read it" in text(stale)

    client.post(f"/accounts/{own.pk}/switch/", {"active": "false", "version": "5"})

    off = text(client.get(f"/accounts/{own.pk}/types/"))
    assert "Enable</button>" in off
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
    wrong = client.post(f"/accounts/{own.pk}/remove/", {"confirm_name": "Theirs"}, follow=True)
    assert "Type &#x27;Ours&#x27; to confirm." in text(wrong)
    vm = VirtualMachineFactory(account=own)
    used = client.post(f"/accounts/{own.pk}/remove/", {"confirm_name": "Ours"}, follow=True)
    assert "still managed here are virtual machines (1)." in text(used)
    vm.delete()

    answer = client.post(f"/accounts/{own.pk}/remove/", {"confirm_name": "Ours", "version": own.version})

    job = Job.objects.get()
    assert answer["Location"] == f"/jobs/{job.pk}/"
    assert "Delete cloud account" in text(panel(client, f"/accounts/{own.pk}/"))


def test_what_the_cloud_says_is_shown_even_when_it_is_odd(as_role, own):
    CloudAccount.objects.update(
        facts={"project_id": "<p>", "regions": {"items": ["compute", "volume"]}},
        last_error="Not <b>good</b>.",
    )

    html = text(as_role(Role.VIEWER).get(f"/accounts/{own.pk}/"))
    regions = text(as_role(Role.VIEWER).get(f"/accounts/{own.pk}/regions/"))

    assert "&lt;p&gt;" in html
    assert re.search(r"items</th>.*compute, volume</td>", regions, re.DOTALL)
    CloudAccount.objects.update(facts={"regions": ["odd"]}, clock_offsets={"One": "x"})
    assert "No regions known yet" in text(as_role(Role.VIEWER).get(f"/accounts/{own.pk}/regions/"))
    assert "Not &lt;b&gt;good&lt;/b&gt;." in html


@pytest.mark.parametrize(
    "page", ["/accounts/", "/accounts/{account}/", "/accounts/{account}/types/", "/accounts/{account}/edit/"]
)
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
