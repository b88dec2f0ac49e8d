"""The pages of pools: for staff alone, what they say of each pool, and what their buttons do."""

from __future__ import annotations

import re
from datetime import timedelta
from xml.etree import ElementTree as ET

import pytest
from django.test import Client
from django.utils import timezone

from portal.celery import app
from tasks.models import Job
from tenants.scoping import Role
from tests.factories import (
    CloudAccountFactory,
    MembershipFactory,
    SpareVolumeFactory,
    UserFactory,
    VolumePoolFactory,
)
from volumepool.models import OrphanVolume, SpareVolume, VolumePool
from volumepool.services.stock import build_history

pytestmark = pytest.mark.django_db


def text(answer):
    return answer.content.decode()


def charts_of(html):
    """The drawings of the charts, with their titles."""
    found = re.findall(r'<figure class="chart.*?</figure>', html, re.DOTALL)
    return {
        re.search(r"<figcaption>(.*?) ?<small>", figure)[1]: (
            re.search(r"<small>(.*?)</small>", figure)[1],
            ET.fromstring(re.search(r"<svg.*?</svg>", figure, re.DOTALL)[0]),  # noqa: S314 - drawn by the portal itself.
        )
        for figure in found
    }


def panel(client, page, name):
    """What the page's script gets when it asks for a panel."""
    return client.get(page, headers={"X-Panel": name})


# --- Who may see and do what -------------------------------------------------------------------------------

PAGES = ["/pools/", "/pools/{}/", "/pools/{}/edit/", "/pools/{}/remove/"]
BUTTONS = ["/pools/{}/backfill/", "/pools/{}/reconcile/"]


@pytest.fixture
def rung(monkeypatch):
    """What was rung for; the bells go to a broker that nobody reads."""
    bells, send = [], app.send_task

    def listening(name, *args, **kwargs):
        bells.append((name, tuple(kwargs["args"])))
        return send(name, *args, **kwargs)

    monkeypatch.setattr(app, "send_task", listening)
    return bells


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_for_staff_alone(as_role, staff, pool, page):
    assert "debian" in text(staff.get(page.format(pool.pk)))
    refused = as_role(Role.ADMIN).get(page.format(pool.pk))
    unknown = as_role(Role.ADMIN).get(page.format(10**9))
    assert refused.status_code == unknown.status_code == 403
    assert "debian" not in text(refused)
    assert Client().get(page.format(pool.pk))["Location"].startswith("/login/")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("button", BUTTONS)
def test_a_button_is_for_staff_alone_and_posted_with_its_token(as_role, staff, pool, button, rung):
    address = button.format(pool.pk)
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(UserFactory(is_staff=True, is_superuser=True))

    assert as_role(Role.ADMIN).post(address).status_code == 403
    assert Client().post(address)["Location"].startswith("/login/")
    assert careful.post(address).status_code == 403
    assert staff.get(address).status_code == 405
    assert staff.post(button.format(10**9)).status_code == 404
    assert rung == []


def test_a_pool_that_is_gone_takes_its_page_along(staff):
    assert staff.get("/pools/4711/").status_code == 404
    assert panel(staff, "/pools/4711/", "pool").status_code == 404


def test_staff_find_the_pools_in_the_navigation_and_tenants_do_not(as_role, staff):
    assert 'href="/pools/" aria-current="page"' in text(staff.get("/pools/"))
    assert 'href="/pools/"' in text(staff.get("/volumes/"))
    assert "/pools/" not in text(as_role(Role.ADMIN).get("/volumes/"))


def test_staff_who_look_at_one_tenant_still_see_all_pools(pool):
    client, member = Client(), MembershipFactory(user__is_staff=True, user__is_superuser=True)
    client.force_login(member.user)
    client.post("/tenant/", {"tenant": member.tenant.slug})

    assert "debian" in text(client.get("/pools/"))
    assert client.get(f"/pools/{pool.pk}/").status_code == 200


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_hold_nothing_that_the_csp_refuses(staff, pool, page):
    html = text(staff.get(page.format(pool.pk)))

    assert not re.findall(r"<script(?![^>]*\bsrc=)|\son[a-z]+=|\sstyle=|<style", html)


# --- The list ----------------------------------------------------------------------------------------------


def row_of(client, pool):
    row = re.search(rf'<tr id="pool-{pool.pk}">.*?</tr>', text(client.get("/pools/")), re.DOTALL)
    return re.sub(r"\s+", " ", row[0])


def test_the_list_says_how_each_pool_does_and_what_would_have_been_enough(staff, pool):
    row = row_of(staff, pool)

    assert "1 / 3" in row
    assert "60%" in row
    assert "empty on 2 requests" in row
    assert "<strong>5</strong>" in row
    assert "6 min" in row
    assert ">Refilling<" in row


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"desired": 1}, ">Full<"),
        ({"desired": 0}, "No spares kept"),
        ({"enabled": False}, "Disabled"),
        ({"snapshot_prefix": "win-"}, "Snapshot missing"),
        ({"paused_until": timezone.now() + timedelta(minutes=50)}, "until <time "),
    ],
)
def test_the_list_tells_the_state(staff, pool, columns, words):
    VolumePool.objects.update(**columns)

    assert words in row_of(staff, pool)


def test_the_list_is_searched_and_looks_again_sooner_while_something_moves(staff, pool):
    VolumePoolFactory(account=CloudAccountFactory(name="two"), type="windows", desired=0)

    assert 'data-panel="pools" data-busy' in text(staff.get("/pools/"))
    quiet = text(staff.get("/pools/?search=two&page=9"))
    assert "windows" in quiet
    assert "debian" not in quiet
    assert 'data-panel="pools">' in quiet
    assert "No results for these filters" in text(staff.get("/pools/?search=%00nothing"))
    assert "it is not applied" in text(staff.get("/pools/?account=nonsense"))
    assert "debian" not in text(
        staff.get(f"/pools/?account={VolumePool.objects.get(type='windows').account_id}")
    )


def test_nothing_is_sent_while_nothing_changes(staff, pool):
    first = panel(staff, "/pools/", "pools")
    again = staff.get("/pools/", headers={"X-Panel": "pools", "If-None-Match": first["ETag"]})

    assert (first.status_code, again.status_code) == (200, 304)
    assert "<html" not in text(first)
    assert "csrfmiddlewaretoken" not in text(first)


def test_an_empty_list_says_what_a_pool_is_and_how_one_is_made(staff):
    html = text(staff.get("/pools/"))

    assert "No volume pools yet" in html
    assert html.count('href="/pools/new/"') == 2


# --- The page of a pool ------------------------------------------------------------------------------------


def test_the_page_shows_spares_strays_and_what_went_wrong(staff, pool):
    VolumePool.objects.update(last_error="<b>Quota</b> exceeded.", image_id="image-1")
    OrphanVolume.objects.create(
        account=pool.account, region=pool.region, volume_id="lost", status="available"
    )
    OrphanVolume.objects.create(account=CloudAccountFactory(), region=pool.region, volume_id="elsewhere")
    SpareVolumeFactory(name="spare-other")

    html = text(staff.get(f"/pools/{pool.pk}/"))

    assert "spare-debian-aaaaaaaa" in html
    assert "spare-other" not in html
    assert "<code>lost</code>" in html
    assert "elsewhere" not in html
    assert "&lt;b&gt;Quota&lt;/b&gt; exceeded." in html
    assert "<code>image-1</code>" in html
    assert "Empty on 2 requests in the last 14 days. Suggested size: 5 (desired: 3)." in html


def test_the_page_says_what_its_snapshot_lacks(staff, pool):
    VolumePool.objects.update(snapshot_prefix="win-")
    assert "The snapshot of the spares has not been found yet" in text(staff.get(f"/pools/{pool.pk}/"))

    VolumePool.objects.update(source_error="None fits 'win-'.", last_error="None fits 'win-'.")

    html = text(staff.get(f"/pools/{pool.pk}/"))
    assert html.count("None fits &#x27;win-&#x27;.") == 1
    assert "The snapshot of the spares has not been found yet" not in html


def test_the_jobs_of_a_pool_are_shown_and_no_others(staff, pool, submit_spare_job):
    mine, lost = (
        submit_spare_job(pool, "spare-debian-00000001"),
        submit_spare_job(pool, "spare-debian-00000002"),
    )
    longer = submit_spare_job(VolumePoolFactory(type="debian-12"), "spare-debian-12-00000003")
    theirs = submit_spare_job(VolumePoolFactory(type="debian"), "spare-debian-00000004")
    old = submit_spare_job(pool, "spare-debian-00000005")
    Job.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=2))
    SpareVolume.objects.filter(name="spare-debian-00000002").delete()

    html = text(staff.get(f"/pools/{pool.pk}/"))

    shown = set(re.findall(r'href="/jobs/([0-9a-f-]+)/"', html))
    assert shown == {str(mine.pk), str(lost.pk)}
    assert str(longer.pk) not in shown
    assert str(theirs.pk) not in shown


@pytest.mark.parametrize(
    ("asked", "days"), [("", 1), ("?days=7", 7), ("?days=30", 30), ("?days=31", 1), ("?days=x", 1)]
)
def test_the_chart_is_of_the_range_that_was_asked_for(staff, pool, asked, days):
    html = text(staff.get(f"/pools/{pool.pk}/{asked}"))

    assert f'href="?days={days}" aria-current="true"' in html
    _words, svg = charts_of(html)["Spares of debian"]
    known = [at for at in build_history(pool.pk, days).points if at.desired is not None]
    assert len(svg.findall(".//rect[@class='hover']")) == 288
    shown = panel(staff, f"/pools/{pool.pk}/{asked}", "history").content.decode()
    rows = shown.partition("<tbody>")[2].partition("</tbody>")[0]
    assert rows.count("<tr>") == len(known)


def test_the_charts_draw_stock_and_claims_and_say_it_in_words(staff, pool):
    charts = charts_of(text(staff.get(f"/pools/{pool.pk}/")))

    words, svg = charts["Spares of debian"]
    assert words == "Between 1 and 1 were available; 3 are desired."
    drawn = [path.get("d") for path in svg.iter("path") if "series-1" in path.get("class")]
    assert len(drawn) == 2, "with a gap between"
    words, svg = charts["Claims of debian"]
    assert words == "3 served from the pool, 2 created on demand."
    bars = {rect.get("class"): float(rect.get("height")) for rect in svg.iter("rect")}
    assert bars["bar series-good"] == pytest.approx(1.5 * bars["bar series-bad"])
    assert "Served from pool: 3\nCreated on demand: 2" in "".join(svg.itertext())


def test_the_charts_are_a_panel_of_their_own_and_told_as_a_table(staff, pool):
    page = f"/pools/{pool.pk}/"

    history, state = (
        panel(staff, page, "history").content.decode(),
        panel(staff, page, "pool").content.decode(),
    )

    assert re.search(
        r'>1</td><td class="number">1</td><td class="number">3</td><td class="number">2<', history
    )
    assert "<svg" in history
    assert 'class="chart' not in state
    assert "<header " not in state
    assert "spare-debian-aaaaaaaa" in panel(staff, page, "spares").content.decode()


def test_a_new_pool_has_no_chart_yet(staff, account):
    pool = VolumePoolFactory(account=account)

    html = text(staff.get(f"/pools/{pool.pk}/"))

    assert "No data for this period" in html
    assert 'class="chart' not in html


@pytest.mark.django_db(transaction=True)
def test_the_buttons_ring_and_lead_back(staff, pool, rung):
    filled = staff.post(f"/pools/{pool.pk}/backfill/", {"days": "7"}, follow=True)
    compared = staff.post(f"/pools/{pool.pk}/reconcile/", {"days": "nonsense"}, follow=True)

    assert filled.redirect_chain == [(f"/pools/{pool.pk}/?days=7", 302)]
    assert "Checking the pool; missing volumes will be created." in text(filled)
    assert compared.redirect_chain == [(f"/pools/{pool.pk}/?days=1", 302)]
    assert "Reconciling with the cloud." in text(compared)
    assert rung == [
        ("volumepool.backfill", (pool.pk,)),
        ("volumepool.reconcile", (pool.account_id, "RegionOne")),
    ]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("columns", "word"),
    [
        ({"enabled": False}, "disabled"),
        ({"snapshot_prefix": "win-"}, "snapshot missing"),
    ],
)
def test_a_button_that_would_do_nothing_says_so(staff, pool, rung, columns, word):
    VolumePool.objects.update(**columns)

    answer = staff.post(f"/pools/{pool.pk}/backfill/", follow=True)

    assert f"be refilled now: {word}." in text(answer)
    assert rung == []


@pytest.mark.django_db(transaction=True)
def test_a_persons_word_ends_a_pause(staff, pool, rung):
    VolumePool.objects.update(paused_until=timezone.now() + timedelta(minutes=50))

    staff.post(f"/pools/{pool.pk}/backfill/")

    assert VolumePool.objects.get(pk=pool.pk).paused_until is None
    assert rung == [("volumepool.backfill", (pool.pk,))]


@pytest.mark.django_db(transaction=True)
def test_nothing_is_compared_in_an_account_that_is_off(staff, pool, rung):
    pool.account.active = False
    pool.account.save()
    rung.clear()

    answer = staff.post(f"/pools/{pool.pk}/reconcile/", follow=True)

    assert "The account is disabled. Enable it to reconcile." in text(answer)
    assert rung == []
