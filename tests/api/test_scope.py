"""The tenant of a request."""

from typing import Any

import pytest
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory, force_authenticate

from api.domain_errors import DomainError
from api.errors import status_of
from tenants.models import Tenant, User
from tenants.scoped_views import get_request_scope
from tenants.scoping import Role
from tests.factories import MembershipFactory, TenantFactory, UserFactory

pytestmark = pytest.mark.django_db


def scope(user: User, slug: str | None = None) -> Any:
    headers = {} if slug is None else {"X-Tenant": slug}
    request = APIRequestFactory().get("/", headers=headers)
    force_authenticate(request, user)
    asked = Request(request)
    asked.user = user
    return get_request_scope(asked)


def refusal(user: User, slug: str | None = None) -> tuple[int, str]:
    with pytest.raises(DomainError) as caught:
        scope(user, slug)
    return status_of(caught.value), caught.value.code


def test_a_member_of_one_tenant_needs_no_header() -> None:
    member = MembershipFactory(role=Role.ADMIN)

    for found in [scope(member.user), scope(member.user, member.tenant.slug)]:
        assert (found.tenant, found.role) == (member.tenant, Role.ADMIN)


def test_a_member_of_several_tenants_gets_the_role_in_the_named_one(user: User) -> None:
    viewer, admin = (
        MembershipFactory(user=user, role=Role.VIEWER),
        MembershipFactory(user=user, role=Role.ADMIN),
    )

    assert refusal(user) == (400, "tenant_required")
    assert scope(user, viewer.tenant.slug).role == Role.VIEWER
    assert scope(user, admin.tenant.slug).role == Role.ADMIN


@pytest.mark.parametrize("slug", ["nowhere", "\x00", "%", "x" * 5000, "caf\xe9"])
def test_anothers_tenant_is_as_unknown_as_none(slug: str) -> None:
    user = MembershipFactory().user
    theirs = TenantFactory().slug
    staff = UserFactory(is_staff=True, is_superuser=True)

    assert refusal(user, theirs) == refusal(user, slug) == refusal(staff, slug) == (404, "no_such_tenant")


def test_a_tenant_switched_off_is_gone_for_its_members() -> None:
    member = MembershipFactory()
    Tenant.objects.filter(pk=member.tenant.pk).update(active=False)

    assert refusal(member.user) == (403, "no_tenant")
    assert refusal(member.user, member.tenant.slug) == (404, "no_such_tenant")


def test_staff_see_all_or_the_one_they_name() -> None:
    staff, tenant = UserFactory(is_staff=True, is_superuser=True), TenantFactory()

    assert scope(staff).tenant is None
    assert scope(staff, tenant.slug).tenant == tenant


MAY = {
    Role.VIEWER: {Role.VIEWER},
    Role.AUDITOR: {Role.VIEWER, Role.AUDITOR},
    Role.OPERATOR: {Role.VIEWER, Role.OPERATOR},
    Role.ADMIN: set(Role),
}


@pytest.mark.parametrize(("role", "needed", "may"), [(a, b, b in MAY[a]) for a in Role for b in Role])
def test_each_role_may_what_the_roles_that_it_includes_may(role: Role, needed: Role, may: bool) -> None:
    member = MembershipFactory(role=role)
    found = scope(member.user)

    assert role.covers(needed) is may
    if may:
        found.require(needed)
    else:
        with pytest.raises(DomainError) as caught:
            found.require(needed)
        assert (status_of(caught.value), caught.value.code) == (403, "role_too_low")
