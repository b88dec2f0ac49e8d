"""Service accounts: what their tokens may do, and every operation of the API that they may not."""

from __future__ import annotations

import functools
import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from api.models import ApiToken
from events.models import Event
from signin.models import ServiceAccount
from tenants.models import Membership, User
from tenants.scoping import Role
from tests.factories import MembershipFactory, VirtualMachineFactory
from tests.isolation.cases import CASES

pytestmark = pytest.mark.django_db
ACCOUNTS = "/api/v1/service-accounts/"


@pytest.fixture
def admin():
    return MembershipFactory(role=Role.ADMIN)


@pytest.fixture
def person(admin):
    client = APIClient()
    client.force_login(admin.user)
    return client


@pytest.fixture
def account(person):
    answer = person.post(ACCOUNTS, {"name": "ci", "role": "admin", "description": "Builds"}, format="json")
    assert answer.status_code == 201
    return answer.json()


@pytest.fixture
def make_client(person, account):
    """A function that creates a token with limits, and returns a client that sends it."""

    def make(address="203.0.113.5", **limits):
        body = {"name": "ci", "scopes": ["read"], **limits}
        answer = person.post(f"{ACCOUNTS}{account['id']}/tokens/", body, format="json")
        assert answer.status_code == 201, answer.json()
        token = answer.json()["token"]
        return APIClient(HTTP_AUTHORIZATION=f"Token {token}", REMOTE_ADDR=address)

    return make


def outcome(answer):
    return answer.status_code, answer.json().get("code")


def test_a_token_acts_as_the_account_in_its_tenant(admin, account, make_client):
    vm = VirtualMachineFactory(information_system__tenant=admin.tenant)
    other = VirtualMachineFactory()
    client = make_client()

    assert [row["id"] for row in client.get("/api/v1/vms/").json()["results"]] == [str(vm.pk)]
    assert client.get(f"/api/v1/vms/{other.pk}/").status_code == 404
    headers = {"X-Tenant": other.information_system.tenant.slug}
    assert outcome(client.get("/api/v1/vms/", headers=headers)) == (404, "no_such_tenant")
    me = client.get("/api/v1/auth/me").json()
    assert me["username"] == f"{admin.tenant.slug}/ci" == account["username"]
    assert ApiToken.objects.get().last_used_at is not None
    assert "token" not in str(Event.objects.get(code="service_account.token_created").after)


def test_scopes_and_role_limit_what_a_token_does(admin, make_client):
    vm = VirtualMachineFactory(information_system__tenant=admin.tenant)
    start = f"/api/v1/vms/{vm.pk}/actions/"
    service = {"name": "shop", "information_system": str(vm.information_system_id)}
    system = {"name": "new"}

    def attempt(client):
        return [
            outcome(client.post(start, {"action": "start"}, format="json"))[1],
            outcome(client.post("/api/v1/services/", service, format="json"))[1],
            outcome(client.post("/api/v1/information-systems/", system, format="json"))[1],
        ]

    assert attempt(make_client()) == ["scope_missing"] * 3
    control = attempt(make_client(scopes=["control"], role="operator"))
    assert control[1:] == ["scope_missing", "role_too_low"] and control[0] != "scope_missing"
    deploy = attempt(make_client(scopes=["deploy"], role="admin"))
    assert (deploy[0], deploy[2]) == ("scope_missing", "scope_missing")
    assert deploy[1] not in {"scope_missing", "role_too_low"}
    both = attempt(make_client(scopes=["deploy", "control"], role="viewer"))
    assert both == ["role_too_low"] * 3


def test_a_limited_token_opens_nothing_that_is_for_people(make_client, admin):
    """Every operation of the API, with all scopes and the highest role, and with reading alone."""
    MembershipFactory(tenant=admin.tenant, role=Role.ADMIN)
    strong, reading = make_client(scopes=["read", "control", "deploy"]), make_client()
    known = {"scope_missing", "people_only"}
    make_ids = functools.cache(lambda ids: ids(MembershipFactory(role=Role.ADMIN)))
    for (method, path), case in CASES.items():
        if case.public:
            continue
        # Refused before anything is looked up, so the objects may be anybody's, and stay as they are.
        address = path.format(**(make_ids(case.ids) if case.ids else {}))
        if method != "GET":
            refused = getattr(reading, method.lower())(address, {}, format="json")
            assert refused.status_code == 403 and refused.json()["code"] in known, (method, path)
        for_people = (
            "/tenants/",
            "/invitations/",
            "/service-accounts/",
            "/auth/tokens/",
            "/auth/sessions/",
            "/auth/logout",
            "/queue",
            "/catalogue",
            "/volume-pools/",
            "/approval-policies/",
            "/approval-delegations/",
            "/subscriptions/",
            "/requests/{id}/approve/",
            "/requests/{id}/reject/",
            "/requests/decisions/",
        )
        if path.startswith(tuple(f"/api/v1{one}" for one in for_people)) and "auth/me" not in path:
            refused = getattr(strong, method.lower())(address, {}, format="json")
            assert (refused.status_code, refused.json()["code"]) == (403, "people_only"), (method, path)
    # Nothing was changed but what the test itself made.
    assert ApiToken.objects.filter(user__service_account__name="ci").count() == 2


def test_objects_of_another_tenant_are_unknown_to_a_token(make_client):
    client = make_client(scopes=["read", "control", "deploy"])
    tried = 0
    stranger = MembershipFactory(role=Role.ADMIN)
    make_ids = functools.cache(lambda ids: ids(stranger))
    for (method, path), case in CASES.items():
        if not case.ids or not case.belongs_to_tenant or case.public or case.required_role is None:
            continue
        address = path.format(**make_ids(case.ids))
        body = case.body(stranger) if case.body else None
        answer = getattr(client, method.lower())(address, body, format="json")
        assert outcome(answer)[0] == 404 or outcome(answer) == (403, "people_only"), (method, path)
        tried += answer.status_code == 404
    assert tried > 50


def test_reading_gives_no_secrets(admin, make_client):
    """A console or a password takes a higher role to read, because it lets control: reading alone has the viewer's role."""
    vm = VirtualMachineFactory(information_system__tenant=admin.tenant)
    paths = [f"/api/v1/vms/{vm.pk}/{page}/" for page in ("console", "password", "user-data")]

    for client in (make_client(role="admin"), make_client(role="admin", scopes=["deploy"])):
        assert {outcome(client.get(path)) for path in paths} == {(403, "role_too_low")}
    strong = make_client(role="admin", scopes=["control"])
    assert not {outcome(strong.get(path)) for path in paths} & {(403, "role_too_low")}


@pytest.mark.parametrize(
    ("networks", "address", "allowed"),
    [
        ([], "198.51.100.7", True),
        (["203.0.113.0/24", "2001:db8::/32"], "203.0.113.200", True),
        (["203.0.113.0/24", "2001:db8::/32"], "2001:db8::1", True),
        (["203.0.113.0/24"], "203.0.114.1", False),
        (["203.0.113.7"], "203.0.113.8", False),
        (["2001:db8::/32"], "203.0.113.7", False),
        (["203.0.113.0/24"], "", False),
    ],
)
def test_a_token_is_accepted_from_its_addresses(make_client, networks, address, allowed):
    client = make_client(allowed_addresses=networks, address=address)

    answer = client.get("/api/v1/vms/")

    assert outcome(answer) == ((200, None) if allowed else (403, "address_not_allowed"))


def test_tokens_end(person, account, make_client, admin):
    path = f"{ACCOUNTS}{account['id']}/"
    client = make_client(expires_at=(timezone.now() + timedelta(hours=1)).isoformat())
    assert client.get("/api/v1/vms/").status_code == 200

    ApiToken.objects.update(expiry=timezone.now() - timedelta(seconds=1))
    assert client.get("/api/v1/vms/").status_code == 401
    client = make_client()
    person.patch(path, {"active": False}, format="json")
    assert client.get("/api/v1/vms/").status_code == 401
    person.patch(path, {"active": True}, format="json")
    revoked = make_client()
    newest = person.get(f"{path}tokens/").json()["results"][0]
    assert person.delete(f"{path}tokens/{newest['id']}/").status_code == 204
    assert revoked.get("/api/v1/vms/").status_code == 401
    last = make_client()
    Membership.objects.filter(user__service_account__isnull=False).delete()
    assert outcome(last.get("/api/v1/vms/")) == (403, "no_tenant")
    assert person.delete(path).status_code == 204
    assert last.get("/api/v1/vms/").status_code == 401
    assert not User.objects.get(username__startswith=f"{admin.tenant.slug}/ci#").is_active
    assert person.post(ACCOUNTS, {"name": "ci", "role": "viewer"}, format="json").status_code == 201


def test_a_role_of_the_account_that_falls_limits_its_tokens(person, account, make_client):
    client = make_client(scopes=["control"], role="admin")
    person.patch(f"{ACCOUNTS}{account['id']}/", {"role": "viewer"}, format="json")

    answer = client.post("/api/v1/information-systems/", {"name": "new"}, format="json")

    assert outcome(answer) == (403, "role_too_low")


def test_a_token_may_what_its_role_and_that_of_the_account_have_in_common(person, account, make_client):
    """An operator does not read the audit log, even by a token that was made when the account was an administrator."""
    client = make_client(role="auditor")
    assert client.get("/api/v1/audit/").status_code == 200

    person.patch(f"{ACCOUNTS}{account['id']}/", {"role": "operator"}, format="json")

    assert outcome(client.get("/api/v1/audit/")) == (403, "role_too_low")
    assert client.get("/api/v1/vms/").status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "9999-01-01T00:00:00Z"},
        {"scopes": []},
        {"scopes": ["everything"]},
        {"role": "owner"},
        {"allowed_addresses": ["example.org"]},
        {"allowed_addresses": ["10.0.0.0/8"] * 21},
        {"name": ""},
        {"user": "another"},
    ],
)
def test_limits_that_make_no_sense_are_refused(person, account, body):
    sent = {"name": "ci", "scopes": ["read"], **body}

    answer = person.post(f"{ACCOUNTS}{account['id']}/tokens/", sent, format="json")

    assert answer.status_code == 400 and set(answer.json()["errors"]) & {*body}
    assert not ApiToken.objects.exists()


def test_a_token_has_at_most_the_role_of_its_account(person):
    account = person.post(ACCOUNTS, {"name": "weak", "role": "viewer"}, format="json").json()

    answer = person.post(
        f"{ACCOUNTS}{account['id']}/tokens/",
        {"name": "x", "scopes": ["read"], "role": "admin"},
        format="json",
    )

    assert answer.status_code == 400 and "role" in answer.json()["errors"]


def test_a_program_is_no_administrator_of_a_tenant(person, account, admin):
    """Otherwise a tenant could be left with a program alone, which can appoint nobody."""
    path = f"/api/v1/tenants/{admin.tenant_id}/members/{admin.pk}/"

    assert outcome(person.delete(path)) == (409, "last_administrator")


def test_a_demanded_second_factor_is_none_of_a_programs(person, account, make_client, admin):
    admin.tenant.second_factor_required = True
    admin.tenant.save()
    User.objects.filter(pk=admin.user_id).update(second_factor="totp")

    assert make_client().get("/api/v1/vms/").status_code == 200


def test_the_pages_of_service_accounts(admin):
    """An administrator creates an account and a token on pages; another member sees the list alone."""
    browser, viewer, stranger = Client(), Client(), Client()
    browser.force_login(admin.user)
    viewer.force_login(MembershipFactory(tenant=admin.tenant, role=Role.VIEWER).user)
    stranger.force_login(MembershipFactory(role=Role.ADMIN).user)
    made = browser.post("/service-accounts/new/", {"name": "ci", "role": "operator", "description": "Builds"})
    page = made["Location"]
    token_form = {"name": "nightly", "role": "viewer", "scopes": ["deploy"], "days": "10", "token_key": "k1"}
    networks = {"allowed_addresses": "192.0.2.0/24\n127.0.0.1"}

    for wrong in ({"days": "x"}, {"days": "99999"}, {"role": "admin"}, {"allowed_addresses": "nowhere"}):
        answer = browser.post(f"{page}tokens/new/", token_form | wrong)
        assert answer.status_code == 400 and "nightly" in answer.content.decode(), wrong
    created = browser.post(f"{page}tokens/new/", token_form | networks)
    again = browser.post(f"{page}tokens/new/", token_form | networks)

    secret = re.search(r'data-copy-text="(\w{40,})"', created.content.decode())[1]
    assert APIClient(HTTP_AUTHORIZATION=f"Token {secret}").get("/api/v1/vms/").status_code == 200
    assert again.status_code == 302 and ApiToken.objects.count() == 1
    token = ApiToken.objects.get()
    assert (token.scopes, token.allowed_addresses) == (["read", "deploy"], ["192.0.2.0/24", "127.0.0.1/32"])
    assert (
        "nightly" in browser.get(page).content.decode() and secret not in browser.get(page).content.decode()
    )
    assert ">ci<" in viewer.get("/service-accounts/").content.decode()
    for other, status in ((viewer, 403), (stranger, 404)):
        for path in (
            page,
            f"{page}edit/",
            f"{page}remove/",
            f"{page}tokens/new/",
            f"{page}tokens/{token.id}/revoke/",
        ):
            assert other.get(path).status_code == status
            assert other.post(path, token_form).status_code == (405 if path == page else status)
    browser.post(f"{page}edit/", {"description": "", "role": "viewer"})
    assert not User.objects.get(service_account__name="ci").is_active
    assert (
        browser.post(f"{page}tokens/{token.id}/revoke/").status_code == 302 and not ApiToken.objects.exists()
    )
    assert browser.post(f"{page}remove/").status_code == 302 and not ServiceAccount.objects.exists()
