"""Try every operation of the API as an anonymous user, for another tenant, with a too low role, validly, and malformed.

The operations come from the OpenAPI schema, so an operation without a case in `cases.py` fails the first test.
"""

from __future__ import annotations

import uuid
import zlib
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from rest_framework.test import APIClient

from tenants.models import Membership
from tenants.scoping import Role
from tests.factories import MembershipFactory, UserFactory
from tests.openapi_document import read_openapi_document
from tests.stories import ALL

from .approval_cases import create_delegation, create_policy, create_request
from .case import Case
from .cases import CASES
from .deploy_cases import create_deployment, create_host
from .network_cases import create_address, create_group, create_server_group
from .notification_cases import create_subscription, create_webhook
from .objects import (
    create_job,
    create_resource,
    create_resource_change,
    create_ssh_key,
    create_sync_log,
    create_sync_run,
    create_system,
    create_user_data_template,
    create_vm,
    create_vm_snapshot,
    create_volume,
    create_volume_snapshot,
)
from .signin_cases import create_service_account

pytestmark = pytest.mark.django_db

METHODS = {"get", "post", "put", "patch", "delete"}


def operations():
    schema = read_openapi_document()
    return {
        (method.upper(), path)
        for path, item in schema["paths"].items()
        for method in item
        if method in METHODS
    }


def cases(wanted=lambda case: True):
    return [pytest.param(*key, case, id=" ".join(key)) for key, case in sorted(CASES.items()) if wanted(case)]


def client_of(member):
    client = APIClient()
    client.force_authenticate(member.user)
    return client


def client_for(case, member):
    """Return the client of the member, or of staff for an operation of staff alone."""
    client = APIClient()
    client.force_authenticate(UserFactory(is_staff=True, is_superuser=True) if case.staff else member.user)
    return client


def send(client, method, path, ids=None, body=None):
    return getattr(client, method.lower())(path.format(**(ids or {})), body, format="json")


def refusal(response):
    """Return the problem of a refusal without the members that differ by request."""
    return {name: value for name, value in response.json().items() if name != "request_id"}


def is_problem(response):
    assert response["Content-Type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "code", "request_id"} <= set(response.json())
    return True


def test_every_operation_is_in_the_matrix():
    assert operations() == set(CASES)


# Events, which are refused to those who may not read them instead of being an empty list; see tests/events.
EVENTS = {"/api/v1/events/", "/api/v1/events/stream/", "/api/v1/audit/", "/api/v1/audit/export/"}
# What is no list of rows is tried in tests/vms.
NO_LISTS = EVENTS | {
    "/api/v1/vms/options/",
    "/api/v1/vms/export/",
    "/api/v1/volumes/options/",
    "/api/v1/cloud-resources/export/",
    "/api/v1/hosts/key/",
}
LISTS = sorted(
    path
    for (method, path), case in CASES.items()
    if method == "GET" and not case.ids and case.required_role and path not in NO_LISTS
)


def test_a_list_shows_ones_own_tenant_alone():
    """One set of objects serves every list, because most of the time would go into objects."""
    owner, stranger = MembershipFactory(), MembershipFactory()
    for create in (
        create_job,
        create_system,
        create_vm,
        create_volume,
        create_volume_snapshot,
        create_vm_snapshot,
        create_sync_run,
        create_resource,
        create_resource_change,
        create_sync_log,
        create_host,
        create_deployment,
        create_ssh_key,
        create_user_data_template,
        create_group,
        create_address,
        create_server_group,
        create_webhook,
        create_subscription,
        create_request,
        create_policy,
        create_delegation,
        create_service_account,
    ):
        create(owner)

    for path in LISTS:
        # Accounts that are shared are everybody's to see.
        address = path + ("?shared=false" if path.endswith("/cloud-accounts/") else "")
        shown = send(client_of(stranger), "GET", address).json()
        assert shown["count"] == (1 if path == "/api/v1/tenants/" else 0), path
        assert send(client_of(owner), "GET", address).json()["count"] >= 1, path


# --- Everybody who may not ------------------------------------------------------------------------------------
# A refusal changes nothing, so one set of objects serves all callers of an operation.


@dataclass(frozen=True)
class Attempt:
    """An operation, with objects that exist in the tenant of an administrator, and a body that is valid for them."""

    method: str
    path: str
    case: Case
    owner: Membership
    ids: dict[str, Any]
    body: dict[str, Any] | None

    def send(self, client, *, ids=None, body=None, headers=None):
        url = self.path.format(**(self.ids if ids is None else ids))
        sent = self.body if body is None else body
        return getattr(client, self.method.lower())(url, sent, format="json", headers=headers or {})

    def require(self, client, status, code=None, **changed):
        """Send it, and require a problem with this status and code; return the problem."""
        response = self.send(client, **changed)
        found = response.json() if response.status_code >= 400 else response.content
        assert response.status_code == status, found
        assert is_problem(response)
        assert code is None or found["code"] == code
        return response


@pytest.mark.parametrize(("method", "path", "case"), cases(lambda case: not case.public))
def test_everybody_who_may_not_is_refused(method, path, case):
    owner = MembershipFactory(role=Role.ADMIN)
    ids = case.ids(owner) if case.ids else {}
    attempt = Attempt(method, path, case, owner, ids, case.body(owner) if case.body else None)

    refuse_anonymous(attempt)
    refuse_ids_of_nothing(attempt)
    if case.ids and case.belongs_to_tenant:
        refuse_strangers(attempt)
    if case.required_role:
        refuse_other_roles(attempt)
    if case.staff:
        refuse_members(attempt)
        refuse_staff_without_permissions(attempt)
        if case.ids and case.success_status != 200:
            refuse_staff_who_may_only_view(attempt)
    elif case.required_role is not None:
        hide_tenants_from_staff_without_permissions(attempt)


def refuse_anonymous(attempt):
    response = attempt.require(APIClient(), 401)
    assert response["WWW-Authenticate"]


BAD_IDS = ("not-a-uuid", "0", "%00", "..%2f..", "é", "a" * 300)


def refuse_ids_of_nothing(attempt):
    """By default, each operation is sent one of the bad ids, and each of them is sent to some operations."""
    client = client_for(attempt.case, attempt.owner)
    one_of_them = BAD_IDS[zlib.crc32(f"{attempt.method} {attempt.path}".encode()) % len(BAD_IDS)]
    for bad_id in (BAD_IDS if ALL else (one_of_them,)) if attempt.ids else ():
        attempt.require(client, 404, ids=dict.fromkeys(attempt.ids, bad_id))


def refuse_strangers(attempt):
    """Another tenant's object is as unknown as one that never was, also when the body is malformed."""
    stranger = client_of(MembershipFactory(role=Role.ADMIN))
    other = attempt.require(stranger, 404)
    unknown = attempt.require(stranger, 404, ids=dict.fromkeys(attempt.ids, uuid.uuid4()))
    assert refusal(other) == refusal(unknown)
    if attempt.case.bad_body is not None:
        attempt.require(stranger, 404, body=attempt.case.bad_body)


def refuse_other_roles(attempt):
    """Each role but the viewer's, which all include: who is refused as an auditor would be refused as a viewer."""
    for role in (Role.AUDITOR, Role.OPERATOR):
        if role.covers(attempt.case.required_role):
            continue
        client = client_of(MembershipFactory(tenant=attempt.owner.tenant, role=role))
        attempt.require(client, 403, "role_too_low")
        if attempt.case.bad_body is not None:
            attempt.require(client, 403, body=attempt.case.bad_body)


def refuse_members(attempt):
    """The administrator of the objects' own tenant is not staff."""
    for body in (attempt.body, attempt.case.bad_body):
        attempt.require(client_of(attempt.owner), 403, "staff_only", body=body)


def staff_with(*permissions):
    """Return the client of a staff user with these permissions alone."""
    user = UserFactory(is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = APIClient()
    client.force_authenticate(user)
    return client


def refuse_staff_without_permissions(attempt):
    # What belongs to a tenant is not there for staff who may see no tenant.
    if attempt.case.ids and attempt.case.belongs_to_tenant:
        attempt.require(staff_with(), 404)
    else:
        assert attempt.require(staff_with(), 403, "permission_missing").json()["permission"]


VIEWING = [
    "view_tenant",
    "view_membership",
    "view_job",
    "view_volumepool",
    "view_periodictask",
    "view_virtualmachine",
    "view_cloudaccount",
    "view_approvalrequest",
]


def refuse_staff_who_may_only_view(attempt):
    client = staff_with(*VIEWING)
    for body in (attempt.body, attempt.case.bad_body):
        attempt.require(client, 403, "permission_missing", body=body)


def hide_tenants_from_staff_without_permissions(attempt):
    """With a tenant and without: rows are not found, lists are empty, nothing is created."""
    client, path = staff_with(), attempt.path
    for headers in ({}, {"X-Tenant": attempt.owner.tenant.slug}):
        response = attempt.send(client, headers=headers)
        if attempt.case.ids:
            assert response.status_code == 404, response.content
        elif path == "/api/v1/hosts/key/":
            assert response.json()["code"] in {"tenant_required", "permission_missing"}
        elif path in EVENTS:
            assert (response.status_code, response.json()["code"]) == (403, "permission_missing")
        elif attempt.method == "GET":
            assert response.status_code == 200
            if path in LISTS:
                assert response.json()["count"] == 0
        elif path == "/api/v1/vms/actions/":
            assert response.json()["code"] in {"not_all_valid", "permission_missing"}
        else:
            assert (response.status_code, response.json()["code"]) == (403, "permission_missing")


# --- Who may -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path", "case"), cases())
def test_ok_for_the_lowest_role_that_may(method, path, case):
    member = MembershipFactory(role=case.required_role or Role.VIEWER)
    ids = case.ids(member) if case.ids else {}

    response = send(client_for(case, member), method, path, ids, case.body(member) if case.body else None)

    assert response.status_code == case.success_status, response.getvalue()


@pytest.mark.parametrize(("method", "path", "case"), cases(lambda case: case.bad_body is not None))
def test_malformed_bodies_change_nothing(method, path, case):
    member = MembershipFactory(role=Role.ADMIN)
    ids = case.ids(member) if case.ids else {}
    url, client = path.format(**ids), client_for(case, member)
    post = getattr(client, method.lower())

    answers = {
        "bad fields": post(url, case.bad_body, format="json"),
        "not an object": post(url, "[1, 2]", content_type="application/json"),
        "not JSON": post(url, "{", content_type="application/json"),
        "null byte": post(url, '{"name": "a\\u0000b", "action": "\\u0000"}', content_type="application/json"),
        "not UTF-8": post(url, b'{"name": "\xff"}', content_type="application/json"),
        "too deep": post(url, "[" * 100_000, content_type="application/json"),
    }

    for what, answer in answers.items():
        assert answer.status_code == 400, (what, answer.content)
        assert is_problem(answer)
    assert post(url, "a=b", content_type="application/x-www-form-urlencoded").status_code == 415
    assert post(url, '{"name": "%s"}' % ("x" * 1_100_000), content_type="application/json").status_code == 413


@pytest.mark.parametrize(
    "query",
    [
        "?colour=red",
        "?page=0",
        "?page=x",
        "?page_size=201",
        "?page_size=-1",
        "?search=%00",
        "?ordering=secret",
    ],
)
@pytest.mark.parametrize(
    "path", ["/api/v1/vms/", "/api/v1/jobs/", "/api/v1/information-systems/", "/api/v1/tenants/"]
)
def test_unknown_and_wrong_filters(path, query):
    response = send(client_of(MembershipFactory()), "GET", path + query)

    assert response.status_code == 400, response.content
    assert is_problem(response)
    assert response.json()["errors"]
