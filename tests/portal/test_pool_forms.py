"""The pages that create, change and delete a pool: who may, what is refused field by field, and what happens twice."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from tenants.scoping import Role
from tests.factories import SpareVolumeFactory, UserFactory, VolumePoolFactory
from volumepool.models import Claim, VolumePool

pytestmark = pytest.mark.django_db


def text(answer):
    return answer.content.decode()


@pytest.fixture
def fields(account):
    return {
        "type": "debian",
        "account": str(account.pk),
        "region": "RegionOne",
        "enabled": "on",
        "size_gb": "10",
        "volume_type": "ssd",
        "desired": "3",
        "max_in_flight": "2",
        "max_age_days": "0",
    }


@pytest.fixture
def pool(account):
    return VolumePoolFactory(account=account, type="debian", desired=3, volume_type="ssd", size_gb=10)


def with_permissions(*names):
    user = UserFactory(is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(codename__in=[f"{name}_volumepool" for name in names])
    )
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.parametrize(
    ("page", "needed"),
    [("/pools/new/", "add"), ("/pools/{}/edit/", "change"), ("/pools/{}/remove/", "delete")],
)
def test_each_page_needs_the_permission_that_the_admin_needs(as_role, pool, fields, page, needed):
    page = page.format(pool.pk)
    others = {"view", "add", "change", "delete"} - {needed}

    assert with_permissions(needed).get(page).status_code == 200
    for client in (with_permissions(*others), as_role(Role.ADMIN)):
        assert client.get(page).status_code == 403
        assert client.post(page, {**fields, "type": "other", "confirm_name": "debian"}).status_code == 403
    assert Client().get(page)["Location"].startswith("/login/")
    assert [pool.type for pool in VolumePool.objects.all()] == ["debian"]


def test_the_buttons_are_those_that_the_permissions_allow(staff, pool):
    viewer = with_permissions("view")

    assert "/pools/new/" not in text(viewer.get("/pools/"))
    assert not re.findall("/(edit|remove|backfill|reconcile)/", text(viewer.get(f"/pools/{pool.pk}/")))
    assert "/pools/new/" in text(staff.get("/pools/"))
    assert set(re.findall("/(edit|remove|backfill|reconcile)/", text(staff.get(f"/pools/{pool.pk}/")))) == {
        "edit",
        "remove",
        "backfill",
        "reconcile",
    }


def test_a_pool_is_created_once(staff, fields):
    key = re.search(r'name="form_key" value="(\w+)"', text(staff.get("/pools/new/")))[1]

    first = staff.post("/pools/new/", {**fields, "form_key": key})
    again = staff.post("/pools/new/", {**fields, "form_key": key}, follow=True)

    pool = VolumePool.objects.get()
    assert first["Location"] == f"/pools/{pool.pk}/"
    assert again.redirect_chain == [(f"/pools/{pool.pk}/", 302)]
    assert (pool.type, pool.desired, pool.enabled) == ("debian", 3, True)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"type": ""}, "type"),
        ({"type": "Not a code"}, "type"),
        ({"type": "x" * 51}, "type"),
        ({"account": "4711"}, "account"),
        ({"account": "nonsense"}, "account"),
        ({"region": "Nowhere"}, "region"),
        ({"size_gb": "0"}, "size_gb"),
        ({"size_gb": "10001"}, "size_gb"),
        ({"size_gb": "many"}, "size_gb"),
        ({"volume_type": "gold"}, "volume_type"),
        ({"image_id": "none-such"}, "image_id"),
        ({"image_id": "ubuntu-id", "snapshot_id": "s"}, "image_id"),
        ({"snapshot_id": "\x00"}, "snapshot_id"),
        ({"desired": "1001"}, "desired"),
        ({"desired": "-1"}, "desired"),
        ({"max_in_flight": "0"}, "max_in_flight"),
        ({"max_age_days": "9" * 30}, "max_age_days"),
    ],
)
def test_what_is_wrong_stands_at_its_field_and_nothing_typed_is_lost(staff, fields, changed, field):
    answer = staff.post("/pools/new/", {**fields, **changed})

    assert answer.status_code == 400
    html = text(answer)
    assert f'id="id_{field}-error"' in html
    control = re.search(rf'<(?:input|select)[^>]*name="{field}"[^>]*>', html)[0]
    assert 'aria-invalid="true"' in control
    assert f"id_{field}-error" in re.search(r'aria-describedby="([^"]*)"', control)[1]
    if field != "desired":
        assert 'name="desired" value="3"' in html
    assert not VolumePool.objects.exists()


def test_a_second_pool_of_the_type_in_the_account_is_refused(staff, pool, fields):
    answer = staff.post("/pools/new/", fields)

    assert answer.status_code == 400
    assert "already exists" in text(answer)
    assert VolumePool.objects.count() == 1


def test_a_pool_is_changed_and_what_the_backfill_wrote_stays(staff, pool, fields):
    VolumePool.objects.update(last_error="Quota exceeded.", creation_seconds=12)

    answer = staff.post(f"/pools/{pool.pk}/edit/", {**fields, "desired": "7", "version": "1"}, follow=True)

    pool.refresh_from_db()
    assert "Changes saved." in text(answer)
    assert (pool.desired, pool.version) == (7, 2)
    assert (pool.last_error, pool.creation_seconds) == ("Quota exceeded.", 12)


def test_a_change_meanwhile_is_told_and_not_overwritten_unknowingly(staff, pool, fields):
    VolumePool.objects.update(version=2, desired=9)

    refused = staff.post(f"/pools/{pool.pk}/edit/", {**fields, "desired": "7", "version": "1"})

    assert refused.status_code == 412
    assert "Someone else changed this pool" in text(refused)
    assert 'name="desired" value="7"' in text(refused)
    assert 'name="version" value="2"' in text(refused)
    pool.refresh_from_db()
    assert pool.desired == 9
    staff.post(f"/pools/{pool.pk}/edit/", {**fields, "desired": "7", "version": "2"})
    pool.refresh_from_db()
    assert pool.desired == 7


def test_a_pool_is_deleted_once_its_name_was_typed(staff, pool):
    Claim.objects.create(pool=pool, taken=1)
    page = f"/pools/{pool.pk}/remove/"

    wrong = staff.post(page, {"confirm_name": "debia"})
    assert wrong.status_code == 400
    assert 'id="confirm-name-error"' in text(wrong)
    gone = staff.post(page, {"confirm_name": "debian", "version": "1"}, follow=True)

    assert "Pool debian was deleted." in text(gone)
    assert not VolumePool.objects.exists()
    assert staff.get(page).status_code == 404
    assert staff.post(page, {"confirm_name": "debian"}).status_code == 404


def test_a_pool_with_spares_is_kept_and_says_why(staff, pool):
    SpareVolumeFactory(pool=pool)

    asked, sent = (
        staff.get(f"/pools/{pool.pk}/remove/"),
        staff.post(f"/pools/{pool.pk}/remove/", {"confirm_name": "debian"}),
    )

    for answer, status in ((asked, 200), (sent, 409)):
        assert answer.status_code == status
        assert "1 spare still belongs to the pool. Set Desired to 0" in text(answer)
        assert 'class="danger"' not in text(answer)
    assert VolumePool.objects.exists()


def test_a_deletion_of_a_version_that_nobody_saw_is_refused(staff, pool):
    VolumePool.objects.update(version=2)

    answer = staff.post(f"/pools/{pool.pk}/remove/", {"confirm_name": "debian", "version": "1"})

    assert answer.status_code == 412
    assert VolumePool.objects.exists()
