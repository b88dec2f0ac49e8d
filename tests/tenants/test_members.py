"""Members are added, changed and removed, and a tenant always has an administrator."""

from __future__ import annotations

import threading

import pytest
from django.contrib.auth.models import Permission

from api.domain_errors import DomainError
from tenants import services
from tenants.models import Membership, TenantQuerySet
from tenants.scoping import Role
from tests.factories import MembershipFactory, TenantFactory, UserFactory


def members_url(tenant):
    return f"/api/v1/tenants/{tenant.pk}/members/"


def member_url(member):
    return f"{members_url(member.tenant)}{member.pk}/"


def role_of(member):
    return Membership.objects.get(pk=member.pk).role


@pytest.fixture
def staff(db, client_of):
    """Signed in as somebody who may change memberships."""
    user = UserFactory(is_staff=True)
    names = ["view_tenant", "change_membership"]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    return client_of(user)


def test_an_administrator_adds_nobody(client, admin):
    UserFactory(username="ann")

    answer = client.post(members_url(admin.tenant), {"username": "ann", "role": "operator"}, format="json")

    assert (answer.status_code, answer.json()["code"]) == (403, "staff_only")
    assert Membership.objects.filter(tenant=admin.tenant).count() == 1


def test_staff_add_a_member_in_a_role(staff, admin):
    newcomer = UserFactory(username="ann")

    answer = staff.post(members_url(admin.tenant), {"username": "ann", "role": "operator"}, format="json")

    assert answer.status_code == 201
    member = Membership.objects.get(tenant=admin.tenant, user=newcomer)
    assert (member.role, answer.json()["id"]) == (Role.OPERATOR, str(member.pk))
    assert (answer.json()["username"], answer.json()["role"]) == ("ann", "operator")


def test_the_members_are_listed_by_name_and_no_other_tenants(client, admin):
    for name in ("zoe", "bob"):
        MembershipFactory(tenant=admin.tenant, user__username=name)
    MembershipFactory()

    names = [row["username"] for row in client.get(members_url(admin.tenant)).json()["results"]]

    assert names == sorted(["zoe", "bob", admin.user.username])


@pytest.mark.parametrize("known", [False, True], ids=["nobody has the name", "the user was switched off"])
def test_a_user_who_cannot_sign_in_is_unknown(staff, admin, known):
    if known:
        UserFactory(username="ghost", is_active=False)

    answer = staff.post(members_url(admin.tenant), {"username": "ghost", "role": "viewer"}, format="json")

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert list(answer.json()["errors"]) == ["username"]
    assert Membership.objects.filter(tenant=admin.tenant).count() == 1


def test_a_member_is_not_added_twice(staff, admin):
    member = MembershipFactory(tenant=admin.tenant, role=Role.VIEWER)

    answer = staff.post(
        members_url(admin.tenant), {"username": member.user.username, "role": "admin"}, format="json"
    )

    assert (answer.status_code, answer.json()["code"]) == (409, "already_member")
    assert role_of(member) == Role.VIEWER


def test_a_user_may_be_a_member_of_several_tenants(staff, admin):
    elsewhere = MembershipFactory()

    answer = staff.post(
        members_url(admin.tenant), {"username": elsewhere.user.username, "role": "viewer"}, format="json"
    )

    assert answer.status_code == 201
    assert elsewhere.user.memberships.count() == 2


def test_a_role_is_changed(client, admin):
    member = MembershipFactory(tenant=admin.tenant, role=Role.VIEWER)

    answer = client.patch(member_url(member), {"role": "operator"}, format="json")

    assert (answer.status_code, answer.json()["role"]) == (200, "operator")
    assert role_of(member) == Role.OPERATOR


def test_a_member_who_is_removed_sees_the_tenant_no_more(client, client_of, admin):
    member = MembershipFactory(tenant=admin.tenant)
    theirs = client_of(member.user)
    assert theirs.get(f"/api/v1/tenants/{admin.tenant.pk}/").status_code == 200

    answer = client.delete(member_url(member))

    assert answer.status_code == 204
    assert not Membership.objects.filter(pk=member.pk).exists()
    assert theirs.get(f"/api/v1/tenants/{admin.tenant.pk}/").status_code == 404


def test_a_member_of_another_tenant_is_not_reached_through_ones_own(client, admin):
    stranger = MembershipFactory()
    through_mine = f"{members_url(admin.tenant)}{stranger.pk}/"

    assert client.patch(through_mine, {"role": "viewer"}, format="json").status_code == 404
    assert client.delete(through_mine).status_code == 404
    assert role_of(stranger) == stranger.role


# --- The last administrator --------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_the_last_administrator_keeps_the_role(client, admin, role):
    MembershipFactory(tenant=admin.tenant, role=Role.OPERATOR)
    MembershipFactory(role=Role.ADMIN)  # Another tenant's does not count.

    answer = client.patch(member_url(admin), {"role": role}, format="json")

    assert (answer.status_code, answer.json()["code"]) == (409, "last_administrator")
    assert role_of(admin) == Role.ADMIN


def test_the_last_administrator_is_not_removed(client, client_of, admin):
    staff = client_of(UserFactory(is_staff=True, is_superuser=True))

    for asking in (client, staff):
        answer = asking.delete(member_url(admin))
        assert (answer.status_code, answer.json()["code"]) == (409, "last_administrator")
    assert role_of(admin) == Role.ADMIN


def test_an_administrator_may_be_made_one_again(client, admin):
    assert client.patch(member_url(admin), {"role": "admin"}, format="json").status_code == 200


def test_one_of_two_administrators_may_go(client, admin):
    second = MembershipFactory(tenant=admin.tenant, role=Role.ADMIN)

    assert client.delete(member_url(second)).status_code == 204
    assert client.delete(member_url(admin)).status_code == 409


@pytest.fixture
def hesitant(monkeypatch):
    """Wait after the search for another administrator until the other request has searched too, before the write."""
    both_have_looked, look = threading.Barrier(2), services.require_other_administrator

    def look_and_hesitate(tenant, leaving):
        look(tenant, leaving)
        try:
            both_have_looked.wait(0.7)
        except threading.BrokenBarrierError:
            both_have_looked.reset()

    monkeypatch.setattr(services, "require_other_administrator", look_and_hesitate)


@pytest.fixture
def two_administrators(transactional_db):
    tenant = TenantFactory()
    return MembershipFactory.create_batch(2, tenant=tenant, role=Role.ADMIN)


@pytest.mark.usefixtures("hesitant")
@pytest.mark.parametrize("way", ["remove", "change"])
def test_of_two_administrators_who_take_each_other_out_at_once_one_remains(two_administrators, at_once, way):
    came = at_once(*_each_other(two_administrators, way))

    refused = [answer for answer in came if isinstance(answer, DomainError)]
    assert [answer.code for answer in refused] == ["last_administrator"]
    tenant = two_administrators[0].tenant
    assert Membership.objects.filter(tenant=tenant, role=Role.ADMIN).count() == 1


@pytest.mark.usefixtures("hesitant")
@pytest.mark.parametrize("way", ["remove", "change"])
def test_without_the_lock_on_the_tenant_none_remains(two_administrators, at_once, monkeypatch, way):
    """Show the race without the lock: both find the other, and both write."""
    monkeypatch.setattr(TenantQuerySet, "select_for_update", lambda self, **options: self)

    came = at_once(*_each_other(two_administrators, way))

    assert not [answer for answer in came if isinstance(answer, Exception)]
    assert not Membership.objects.filter(tenant=two_administrators[0].tenant, role=Role.ADMIN).exists()


def _each_other(administrators, way):
    def taking_out(member):
        if way == "remove":
            return lambda: services.remove_member(tenant=member.tenant, membership_id=member.pk)
        return lambda: services.change_member(tenant=member.tenant, membership_id=member.pk, role=Role.VIEWER)

    return [taking_out(member) for member in administrators]
