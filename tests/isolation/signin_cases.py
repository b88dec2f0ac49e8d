"""The cases of service accounts and their tokens."""

from __future__ import annotations

import itertools

from api.models import ApiToken
from signin.models import ServiceAccount
from tenants.scoping import Role
from tests.factories import MembershipFactory, UserFactory

from .case import Case

_numbers = itertools.count(1)


def create_service_account(member):
    account = ServiceAccount.objects.create(
        tenant=member.tenant, user=UserFactory(), name=f"robot-{next(_numbers)}"
    )
    MembershipFactory(user=account.user, tenant=member.tenant, role=Role.OPERATOR)
    return {"id": account.pk}


def create_service_token(member):
    ids = create_service_account(member)
    user = ServiceAccount.objects.get(pk=ids["id"]).user
    token, _secret = ApiToken.objects.create(
        user=user, name="ci", expiry=None, tenant_id=member.tenant_id, role="viewer", scopes=["read"]
    )
    return {**ids, "token_pk": token.id}


SIGNIN_CASES: dict[tuple[str, str], Case] = {
    ("GET", "/api/v1/service-accounts/"): Case(200),
    ("POST", "/api/v1/service-accounts/"): Case(
        201,
        Role.ADMIN,
        body=lambda member: {"name": "ci", "role": "operator"},
        bad_body={"name": "with spaces", "role": "owner"},
    ),
    ("GET", "/api/v1/service-accounts/{id}/"): Case(200, ids=create_service_account),
    ("PATCH", "/api/v1/service-accounts/{id}/"): Case(
        200,
        Role.ADMIN,
        ids=create_service_account,
        body=lambda member: {"active": False},
        bad_body={"role": "owner"},
    ),
    ("DELETE", "/api/v1/service-accounts/{id}/"): Case(204, Role.ADMIN, ids=create_service_account),
    ("GET", "/api/v1/service-accounts/{id}/tokens/"): Case(200, Role.ADMIN, ids=create_service_token),
    ("POST", "/api/v1/service-accounts/{id}/tokens/"): Case(
        201,
        Role.ADMIN,
        ids=create_service_account,
        body=lambda member: {"name": "ci", "scopes": ["deploy"], "allowed_addresses": ["192.0.2.0/24"]},
        bad_body={"name": "ci", "scopes": [], "allowed_addresses": ["192.0.2.0/99"]},
    ),
    ("DELETE", "/api/v1/service-accounts/{id}/tokens/{token_pk}/"): Case(
        204, Role.ADMIN, ids=create_service_token
    ),
}
