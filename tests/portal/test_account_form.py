"""The form of a cloud account: who may use it, what it saves, and everything that may be wrong with it."""

from __future__ import annotations

import re

import pytest

from cloudaccounts.models import CloudAccount
from tasks.models import Job
from tenants.scoping import Role
from tests.factories import TenantFactory

pytestmark = pytest.mark.django_db

URL = "http://127.0.0.1:9/v3"
# A form as a browser sends it; what is not checked is not in it.
FORM = {
    "name": "Ours too",
    "provider": "openstack",
    "auth_url": URL,
    "credential_kind": "password",
    "access_id": "demo",
    "secret": "hush-hush",
    "project": "demo",
    "user_domain": "Default",
    "project_domain": "Default",
    "ca_bundle": "",
    "regions": "RegionOne, RegionTwo\r\nRegionOne",
    "sync_interval_minutes": "15",
    "active": "true",
}


def text(answer):
    return answer.content.decode()


def sent(account, **changes):
    """The edit form as it comes when nothing but `changes` was changed in it."""
    form = {**FORM, "name": account.name, "secret": "", "regions": "RegionOne", "version": account.version}
    return {**form, "sync_interval_minutes": "10", **changes}


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
@pytest.mark.parametrize("page", ["/accounts/new/", "/accounts/{account}/edit/"])
def test_the_form_is_for_administrators(as_role, own, page, role):
    page = page.format(account=own.pk)

    for answer in (as_role(role).get(page, follow=True), as_role(role).post(page, FORM, follow=True)):
        assert "You need the role" in text(answer)
        assert 'name="secret"' not in text(answer)
    stranger = as_role(Role.ADMIN, of=TenantFactory()).post(page, FORM)
    assert stranger.status_code == (404 if "edit" in page else 302)
    assert not CloudAccount.objects.filter(tenant=own.tenant, name="Ours too").exists()


def test_an_account_is_entered_and_its_page_follows_the_verification(as_role, tenant):
    client = as_role(Role.ADMIN)
    form = {**FORM, "resource_types": ["server", "port"]}

    answer = client.post("/accounts/new/", form)

    account = CloudAccount.objects.get(name="Ours too")
    assert answer["Location"] == f"/accounts/{account.pk}/"
    assert (account.tenant, account.decrypt_secret()) == (tenant, "hush-hush")
    assert account.regions == ["RegionOne", "RegionTwo"]
    assert account.sync_interval_minutes == 15
    assert set(account.resource_types.values_list("code", flat=True)) == {"server", "port"}
    html = text(client.get(answer["Location"]))
    assert f"/jobs/{Job.objects.get().pk}/" in html
    assert 'data-panel="account" data-busy' in html
    assert "hush" not in html


def test_staff_who_have_chosen_no_tenant_enter_a_shared_account(staff, tenant):
    assert "every tenant can create VMs with it" in text(staff.get("/accounts/new/"))
    staff.post("/accounts/new/", FORM)
    assert CloudAccount.objects.get().tenant is None
    staff.post("/tenant/", {"tenant": tenant.slug})
    assert "This account will belong to tenant Acme." in text(staff.get("/accounts/new/"))
    staff.post("/accounts/new/", FORM)
    assert CloudAccount.objects.filter(tenant=tenant).count() == 1


def test_everything_that_is_wrong_is_said_at_once_and_what_was_entered_is_kept(as_role, tenant):
    wrong = {
        **FORM,
        "name": "",
        "auth_url": "ftp://<cloud>",
        "secret": "",
        "project": "",
        "ca_bundle": "no certificate",
        "regions": "a\x00b",
        "sync_interval_minutes": "often",
        "resource_types": ["server", "unicorn"],
    }

    answer = as_role(Role.ADMIN).post("/accounts/new/", wrong)

    html = text(answer)
    assert answer.status_code == 400
    assert len(re.findall(r'class="field-error"', html)) >= 7
    for said in (
        "http or https",
        "&#x27;unicorn&#x27; is no type",
        "No certificate in PEM",
        "integer",
        "Control",
    ):
        assert said in html
    assert 'value="ftp://&lt;cloud&gt;"' in html
    assert 'value="server" checked' in html
    assert not CloudAccount.objects.exists()


def test_a_name_that_is_taken_is_told_beside_it(as_role, own):
    html = text(as_role(Role.ADMIN).post("/accounts/new/", {**FORM, "name": own.name}))

    assert 'id="account-name-error">This name is already in use.' in html
    assert re.search(
        r'name="name"[^>]*aria-describedby="[^"]*account-name-error[^>]*aria-invalid="true"', html
    )
    assert "hush-hush" not in html
    unknown = as_role(Role.ADMIN).post("/accounts/new/", {**FORM, "resource_types": ["unicorn"]})
    assert "&#x27;unicorn&#x27; is no type of openstack" in text(unknown)


def test_an_account_is_changed_and_an_empty_secret_stays(as_role, own):
    client = as_role(Role.ADMIN)
    assert "hush" not in text(client.get(f"/accounts/{own.pk}/edit/"))

    answer = client.post(f"/accounts/{own.pk}/edit/", sent(own, name="Renamed", active=""), follow=True)

    assert "Changes saved." in text(answer)
    changed = CloudAccount.objects.get(pk=own.pk)
    assert (changed.name, changed.decrypt_secret(), changed.regions) == (
        "Renamed",
        "hush-hush",
        ["RegionOne"],
    )
    assert not Job.objects.exists(), "a name is no credential"
    client.post(f"/accounts/{own.pk}/edit/", sent(changed, name="Renamed", secret="other", version=2))
    assert CloudAccount.objects.get(pk=own.pk).decrypt_secret() == "other"
    assert Job.objects.get().kind == "cloudaccounts.verify"


def test_another_address_wants_the_secret_again(as_role, own):
    elsewhere = sent(own, auth_url="http://127.0.0.1:10/v3")

    html = text(as_role(Role.ADMIN).post(f"/accounts/{own.pk}/edit/", elsewhere))

    assert "Enter the secret again" in html
    assert CloudAccount.objects.get(pk=own.pk).auth_url == URL


def test_line_ends_of_a_browser_change_no_certificate(as_role, own):
    CloudAccount.objects.update(ca_bundle="some\nlines\n")

    answer = as_role(Role.ADMIN).post(
        f"/accounts/{own.pk}/edit/", sent(own, name="Renamed", ca_bundle="some\r\nlines")
    )

    assert answer.status_code == 302
    assert CloudAccount.objects.get(pk=own.pk).ca_bundle == "some\nlines\n"


def test_who_changes_what_was_changed_meanwhile_is_told_and_keeps_the_form(as_role, own):
    client = as_role(Role.ADMIN)
    form = sent(own, name="Mine")
    CloudAccount.objects.update(version=2, sync_interval_minutes=30, active=False)

    answer = client.post(f"/accounts/{own.pk}/edit/", form)

    html = text(answer)
    assert answer.status_code == 412
    assert "Modified since you read it" in html
    assert 'value="Mine"' in html
    assert "Current value: 30" in html
    assert "Current value: no" in html
    assert CloudAccount.objects.get(pk=own.pk).name == "Ours"
    # Sent again it counts: he has seen what it was.
    assert client.post(f"/accounts/{own.pk}/edit/", {**form, "version": 2}).status_code == 302
    assert CloudAccount.objects.get(pk=own.pk).sync_interval_minutes == 10


def test_an_empty_form_says_what_to_enter(as_role, tenant):
    html = text(as_role(Role.ADMIN).post("/accounts/new/", {"credential_kind": "password"}))

    for told in ("Enter a name.", "Enter the auth URL.", "Enter the secret."):
        assert told in html
    assert "Nothing was saved." in html
    assert not CloudAccount.objects.exists()


def test_without_a_script_every_field_of_both_types_is_there(as_role, tenant):
    html = text(as_role(Role.ADMIN).get("/accounts/new/"))

    for name in ("access_id", "secret", "project", "user_domain", "project_domain"):
        assert re.search(rf'<label for="account-{name}">[^<]', html)
        assert f'name="{name}"' in html
    assert 'data-access="Application credential ID" data-secret="Secret"' in html
    assert 'data-access="Username" data-secret="Password"' in html
    assert "hidden" not in html.partition("Credential type")[2].partition("Sync interval")[0]


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("name", "n" * 101, "100"),
        ("auth_url", "https://" + "h" * 500, "500"),
        ("credential_kind", "magic", "magic"),
        ("interface", "side", "side"),
        ("access_id", "", "Enter the application credential ID or the username."),
        ("provider", "nimbus", "nimbus"),
        ("sync_interval_minutes", "10081", "10080"),
        ("regions", ",".join(f"r{number}" for number in range(101)), "100"),
        ("name", "nul\x00", "ontrol"),
    ],
)
def test_a_wrong_value_is_told_at_its_field_and_kept(as_role, tenant, field, value, told):
    answer = as_role(Role.ADMIN).post("/accounts/new/", {**FORM, field: value})

    html = text(answer)
    assert answer.status_code == 400
    assert f'id="account-{field}-error"' in html
    assert told in html
    assert 'value="demo"' in html
    assert not CloudAccount.objects.exists()
