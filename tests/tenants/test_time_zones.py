"""Times are shown in the user's zone, else the tenant's; dates are in the tenant's."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings
from django.core.exceptions import ValidationError
from django.template import Context, Template
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from api.time_zones import OffsetNamedZone, find_time_zone, list_time_zone_names, today_in, validate_time_zone
from pages.chart_axes import list_time_marks
from tasks.models import Job
from tenants.scoping import Role
from tests.factories import (
    InformationSystemFactory,
    MembershipFactory,
    TenantFactory,
    UserFactory,
    VirtualMachineFactory,
)
from vms.models import VirtualMachine, VMOperationLog, VMStatus
from vms.services import stop_at_runtime_end, warn_of_runtime_end

pytestmark = pytest.mark.django_db


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "at", "shown"),
    [
        ("UTC", "2026-11-29 12:05", "2026-11-29 12:05 UTC"),
        ("Europe/Berlin", "2026-11-29 12:05", "2026-11-29 13:05 UTC+1"),
        ("Europe/Berlin", "2026-07-29 12:05", "2026-07-29 14:05 UTC+2"),
        ("Asia/Shanghai", "2026-11-29 17:05", "2026-11-30 01:05 UTC+8"),
        ("Asia/Kolkata", "2026-11-29 12:05", "2026-11-29 17:35 UTC+5:30"),
        ("America/St_Johns", "2026-11-29 02:05", "2026-11-28 22:35 UTC-3:30"),
    ],
)
def test_a_time_is_shown_with_its_distance_from_utc(name, at, shown):
    with timezone.override(OffsetNamedZone(name)):
        text = Template('{{ at|date:"Y-m-d H:i T" }}').render(Context({"at": utc(at)}))

    assert text == shown


@pytest.mark.parametrize(
    "name",
    ["", "Moon/Base", "CET", "UTC+1", "Etc/GMT+5", "../../etc/passwd", "Europe/Berlin ", "x" * 200, "\0"],
)
def test_names_that_are_no_places_are_refused(name):
    with pytest.raises(ValidationError):
        validate_time_zone(name)
    assert find_time_zone(name).key == "UTC"


def test_every_zone_that_is_offered_can_be_kept():
    assert {"UTC", "Asia/Shanghai", "Europe/Berlin"} <= list_time_zone_names()
    assert all(len(name) <= 64 for name in list_time_zone_names())


# Berlin's clocks are put forward on 2026-03-29 and back on 2026-10-25.
@pytest.mark.parametrize(
    ("now", "name", "day"),
    [
        ("2026-03-28 22:59", "Europe/Berlin", "2026-03-28"),
        ("2026-03-28 23:00", "Europe/Berlin", "2026-03-29"),
        ("2026-03-29 21:59", "Europe/Berlin", "2026-03-29"),
        ("2026-03-29 22:00", "Europe/Berlin", "2026-03-30"),
        ("2026-10-24 22:00", "Europe/Berlin", "2026-10-25"),
        ("2026-10-25 22:59", "Europe/Berlin", "2026-10-25"),
        ("2026-10-25 23:00", "Europe/Berlin", "2026-10-26"),
        ("2026-06-01 10:30", "Pacific/Kiritimati", "2026-06-02"),
        ("2026-06-01 09:30", "Pacific/Honolulu", "2026-05-31"),
        ("2026-06-01 09:30", "", "2026-06-01"),
    ],
)
def test_today_is_the_date_in_the_zone(now, name, day):
    assert today_in(name, utc(now)) == date.fromisoformat(day)


@pytest.fixture
def it_is(monkeypatch):
    return lambda now: monkeypatch.setattr(timezone, "now", lambda: now)


@pytest.fixture
def vms():
    """Create VMs with the end date 29 November, of tenants in the east, in the west, and without a zone."""
    made = {}
    for name in ("Asia/Shanghai", "America/New_York", ""):
        made[name] = VirtualMachineFactory(
            information_system=InformationSystemFactory(tenant=TenantFactory(time_zone=name)),
            status=VMStatus.RUNNING,
            openstack_id=f"00000000-0000-0000-0000-00000000000{len(made)}",
            runtime_end=date(2026, 11, 29),
        )
    return made


@pytest.mark.parametrize(
    ("now", "over"),
    [
        ("2026-11-29 15:59", set()),
        ("2026-11-29 16:00", {"Asia/Shanghai"}),
        ("2026-11-29 23:59", {"Asia/Shanghai"}),
        ("2026-11-30 00:00", {"Asia/Shanghai", ""}),
        ("2026-11-30 04:59", {"Asia/Shanghai", ""}),
        ("2026-11-30 05:00", {"Asia/Shanghai", "", "America/New_York"}),
    ],
)
def test_a_vm_is_stopped_when_its_last_day_is_over_where_its_tenant_is(vms, it_is, now, over):
    it_is(utc(now))
    past = {name for name, vm in vms.items() if VirtualMachine.objects.get(pk=vm.pk).is_past_runtime}
    stopped = stop_at_runtime_end()

    assert (past, stopped) == (over, len(over))
    assert set(Job.objects.values_list("entity_id", flat=True)) == {str(vms[name].pk) for name in over}


def test_the_end_is_announced_by_the_tenants_days(vms, it_is, settings):
    settings.RUNTIME_WARN_DAYS = 1
    it_is(utc("2026-11-27 16:30"))
    assert warn_of_runtime_end() == 1

    assert VMOperationLog.objects.get().vm_id == vms["Asia/Shanghai"].pk


def test_what_is_over_where_the_tenant_is_is_no_end_for_a_new_vm(it_is):
    member = MembershipFactory(role=Role.ADMIN, tenant=TenantFactory(time_zone="Asia/Shanghai"))
    client = APIClient()
    client.force_authenticate(member.user)
    system = InformationSystemFactory(tenant=member.tenant)
    body = {"information_system": str(system.pk), "name": "x", "runtime_end": "2026-11-29", "os_type": "x"}
    body |= {"cpu_cores": 1, "memory_gb": 1, "disk_gb": 10}

    it_is(utc("2026-11-29 17:00"))
    east = client.post("/api/v1/vms/", body, format="json").json()["errors"]
    type(member.tenant).objects.update(time_zone="")
    nowhere = client.post("/api/v1/vms/", body, format="json").json()["errors"]

    assert east["runtime_end"] == ["The end date has passed."]
    assert "runtime_end" not in nowhere


class TestPages:
    @pytest.fixture
    def member(self):
        return MembershipFactory(role=Role.ADMIN, tenant=TenantFactory(time_zone="Asia/Shanghai"))

    @pytest.fixture
    def browser(self, member):
        client = Client()
        client.force_login(member.user)
        return client

    @pytest.fixture
    def page(self, member):
        vm = VirtualMachineFactory(information_system=InformationSystemFactory(tenant=member.tenant))
        at = utc("2026-11-29 12:05")
        VirtualMachine.objects.update(created_at=at, observed_at=at)
        return f"/vms/{vm.pk}/"

    def test_the_persons_zone_comes_before_the_tenants_and_that_before_the_settings(
        self, member, browser, page
    ):
        assert "2026-11-29 20:05:00 UTC+8" in browser.get(page).content.decode()
        browser.post("/preferences/", {"time_zone": "Europe/Berlin"})
        assert "2026-11-29 13:05:00 UTC+1" in browser.get(page).content.decode()
        browser.post("/preferences/", {"time_zone": ""})
        type(member.tenant).objects.update(time_zone="")
        html = browser.get(page).content.decode()
        assert "2026-11-29 12:05:00 UTC" in html
        assert "UTC+" not in html

    def test_rest_stays_in_utc_and_nothing_stays_with_the_thread(self, browser, page):
        browser.get(page)

        assert browser.get(f"/api/v1{page}").json()["created_at"] == "2026-11-29T12:05:00Z"
        assert timezone.get_current_timezone_name() == "UTC"

    def test_the_admin_says_the_zone_too(self, page):
        client = Client()
        client.force_login(UserFactory(is_staff=True, is_superuser=True, time_zone="Europe/Berlin"))
        for language in ("en", "zh-hans"):
            html = client.get(
                f"/admin/vms/virtualmachine{page[4:]}change/", headers={"Accept-Language": language}
            )
            assert "2026-11-29 13:05:00 UTC+1" in html.content.decode()

    def test_a_zone_that_is_none_is_told_beside_the_field(self, member, browser):
        answer = browser.post("/preferences/", {"time_zone": "Moon/Base"})

        assert answer.status_code == 400
        assert "Unknown time zone &#x27;Moon/Base&#x27;" in answer.content.decode()
        member.user.refresh_from_db()
        assert member.user.time_zone == ""

    def test_a_stored_zone_that_has_become_unknown_fails_no_page(self, member, browser, page):
        type(member.user).objects.update(time_zone="Moon/Base")

        assert "UTC+8" in browser.get(page).content.decode()

    def test_a_user_without_a_tenant_sets_a_time_zone(self):
        client = Client()
        client.force_login(UserFactory())

        assert client.post("/preferences/", {"time_zone": "Asia/Tokyo"}).status_code == 302
        assert "UTC+9" in client.get("/preferences/").content.decode()

    def test_the_api_sets_the_time_zone(self, member):
        client = APIClient()
        client.force_authenticate(member.user)

        def patch(path, **body):
            answer = client.patch(path, body, format="json")
            return answer.status_code, answer.json()

        tenant = f"/api/v1/tenants/{member.tenant.pk}/"
        assert patch("/api/v1/auth/me", time_zone="Asia/Tokyo")[1]["time_zone"] == "Asia/Tokyo"
        status, wrong = patch(tenant, time_zone="nowhere")
        assert (status, list(wrong["errors"])) == (400, ["time_zone"])
        assert patch(tenant, time_zone="UTC")[1]["time_zone"] == "UTC"
        assert patch("/api/v1/auth/me", is_staff=True)[0] == 400


def test_the_days_of_a_chart_begin_where_one_is():
    since = utc("2026-10-20 07:00")
    times = [since + timedelta(hours=number) for number in range(7 * 24 + 1)]

    with timezone.override(ZoneInfo("Europe/Berlin")):
        marks = [text for _share, text in list_time_marks(times)]

    # The clocks are put back on the 25th: that day has 25 hours, and the next begins at midnight all the same.
    assert marks == ["10-21", "10-22", "10-23", "10-24", "10-25", "10-26", "10-27"]


def test_every_template_that_shows_a_time_says_its_zone():
    shown = re.compile(r"""(?:date|time):["'][^"']*[HGhg]:i[^"']*["']""")
    templates = [path for room in settings.BASE_DIR.glob("*/templates") for path in room.rglob("*.html")]

    bare = [
        f"{path.name}: {found}"
        for path in templates
        for found in shown.findall(path.read_text())
        if " T" not in found
    ]
    assert len(templates) > 20
    assert bare == []
