"""Nobody becomes a member without accepting an invitation, and invitations do not reveal which users exist."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from api.domain_errors import DomainError
from tenants import invitations, services
from tenants.models import Invitation, Membership
from tenants.scoping import Role
from tests.factories import InvitationFactory, MembershipFactory, TenantFactory, UserFactory

pytestmark = pytest.mark.django_db
MINE = "/api/v1/invitations/"


def url(tenant):
    return f"/api/v1/tenants/{tenant.pk}/invitations/"


def invite(client, tenant, username, role="operator"):
    return client.post(url(tenant), {"username": username, "role": role}, format="json")


def test_the_invited_accepts_and_is_a_member_in_that_role(client, client_of, admin):
    ann = UserFactory(username="ann")
    made = invite(client, admin.tenant, "ann")
    assert made.status_code == 201
    assert not Membership.objects.filter(user=ann).exists()
    theirs = client_of(ann)
    (shown,) = theirs.get(MINE).json()["results"]
    assert (shown["tenant"], shown["role"], shown["invited_by"]) == (
        admin.tenant.slug,
        "operator",
        admin.user.username,
    )

    accepted = theirs.post(f"{MINE}{shown['id']}/accept/")

    assert (accepted.status_code, accepted.json()["role"]) == (200, "operator")
    assert Membership.objects.get(user=ann).role == Role.OPERATOR
    assert theirs.get(MINE).json()["count"] == client.get(url(admin.tenant)).json()["count"] == 0
    assert theirs.post(f"{MINE}{shown['id']}/accept/").status_code == 404


def test_a_known_an_unknown_and_a_switched_off_name_look_the_same(client, admin):
    """Status, fields and statements are the same, and so is the time."""
    MembershipFactory(user__username="known")
    UserFactory(username="idle", is_active=False)
    answers, work = [], []
    for name in ("warm-up", "known", "nobody", "idle"):
        with CaptureQueriesContext(connection) as captured:
            answers.append(invite(client, admin.tenant, name))
        work.append([query["sql"].split(" VALUES ")[0].replace(name, "?") for query in captured])

    _warm, known, unknown, idle = answers
    assert known.status_code == unknown.status_code == idle.status_code == 201
    assert set(known.json()) == set(unknown.json()) == set(idle.json())
    assert {answer.json()["status"] for answer in answers} == {"pending"}
    assert [len(one) for one in work[1:]] == [len(work[1])] * 3
    assert {row["status"] for row in client.get(url(admin.tenant)).json()["results"]} == {"pending"}


def test_ones_requests_need_no_header_because_somebody_invites_one(client, client_of, admin):
    elsewhere = MembershipFactory()
    theirs = client_of(elsewhere.user)
    assert theirs.get("/api/v1/information-systems/").status_code == 200

    invite(client, admin.tenant, elsewhere.user.username)

    assert theirs.get("/api/v1/information-systems/").status_code == 200


def test_what_is_declined_is_gone_for_the_invited_and_not_sent_again(client, client_of, admin):
    theirs = client_of(UserFactory(username="ann"))
    made = invite(client, admin.tenant, "ann").json()

    assert theirs.post(f"{MINE}{made['id']}/decline/").status_code == 204

    assert theirs.get(MINE).json()["count"] == 0
    assert theirs.post(f"{MINE}{made['id']}/accept/").status_code == 404
    assert client.get(url(admin.tenant)).json()["results"][0]["status"] == "declined"
    assert invite(client, admin.tenant, "ann").json()["code"] == "invited_already"
    assert client.delete(f"{url(admin.tenant)}{made['id']}/").json()["code"] == "declined"


def test_what_is_withdrawn_cannot_be_accepted(client, client_of, admin):
    theirs = client_of(UserFactory(username="ann"))
    made = invite(client, admin.tenant, "ann").json()

    assert client.delete(f"{url(admin.tenant)}{made['id']}/").status_code == 204

    assert theirs.post(f"{MINE}{made['id']}/accept/").status_code == 404
    assert invite(client, admin.tenant, "ann").status_code == 201


def test_what_has_expired_cannot_be_accepted_and_makes_room(client, client_of, admin):
    old = InvitationFactory(
        tenant=admin.tenant, username="ann", expires_at=timezone.now() - timedelta(seconds=1)
    )
    theirs = client_of(UserFactory(username="ann"))

    assert theirs.get(MINE).json()["count"] == 0
    assert theirs.post(f"{MINE}{old.pk}/accept/").status_code == 404
    assert invite(client, admin.tenant, "ann").status_code == 201


def test_that_of_a_tenant_that_is_switched_off_is_not_there(client_of):
    invitation = InvitationFactory(username="ann", tenant__active=False)
    theirs = client_of(UserFactory(username="ann"))

    assert theirs.get(MINE).json()["count"] == 0
    assert theirs.post(f"{MINE}{invitation.pk}/accept/").status_code == 404


def test_a_tenant_has_only_so_many(client, admin, settings):
    settings.INVITATIONS_PER_TENANT = 3
    answers = [invite(client, admin.tenant, f"name-{number}") for number in range(4)]

    assert [answer.status_code for answer in answers] == [201, 201, 201, 409]
    assert answers[-1].json()["code"] == "too_many_invitations"
    InvitationFactory()  # Another tenant's does not count.


def test_a_member_is_not_invited(client, admin):
    member = MembershipFactory(tenant=admin.tenant)

    assert invite(client, admin.tenant, member.user.username).json()["code"] == "already_member"


def test_who_was_added_meanwhile_keeps_that_role(client_of):
    invitation = InvitationFactory(username="ann", role=Role.ADMIN)
    member = MembershipFactory(user__username="ann", tenant=invitation.tenant, role=Role.VIEWER)

    answer = client_of(member.user).post(f"{MINE}{invitation.pk}/accept/")

    assert (answer.status_code, answer.json()["role"]) == (200, "viewer")
    assert not Invitation.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_invitation_is_accepted_once(at_once):
    invitation, user = InvitationFactory(username="ann"), UserFactory(username="ann")

    came = at_once(
        *[lambda: invitations.accept_invitation(user=user, invitation_id=invitation.pk)] * 2,
        lambda: invitations.withdraw_invitation(tenant=invitation.tenant, invitation_id=invitation.pk),
    )

    assert len([answer for answer in came if isinstance(answer, Exception)]) == 2
    assert not Invitation.objects.exists()
    assert Membership.objects.count() <= 1


@pytest.mark.django_db(transaction=True)
def test_simultaneous_creations_do_not_pass_the_limit(at_once, settings):
    settings.INVITATIONS_PER_TENANT = 2
    tenant, user = TenantFactory(), UserFactory()

    def one(number):
        return lambda: invitations.invite_user(
            tenant=tenant, username=f"name-{number}", role="viewer", by=user
        )

    came = at_once(*[one(number) for number in range(6)])

    assert [answer.code for answer in came if isinstance(answer, DomainError)] == ["too_many_invitations"] * 4
    assert Invitation.objects.count() == 2


# --- Leaving -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", list(Role))
def test_a_member_leaves(client_of, admin, role):
    member = MembershipFactory(tenant=admin.tenant, role=role)

    assert client_of(member.user).post(f"/api/v1/tenants/{admin.tenant.pk}/leave/").status_code == 204

    assert not Membership.objects.filter(pk=member.pk).exists()


def test_the_last_administrator_does_not_leave(client, admin):
    MembershipFactory(tenant=admin.tenant, role=Role.OPERATOR)

    answer = client.post(f"/api/v1/tenants/{admin.tenant.pk}/leave/")

    assert (answer.status_code, answer.json()["code"]) == (409, "last_administrator")


@pytest.mark.django_db(transaction=True)
def test_of_two_administrators_who_leave_at_once_one_remains(at_once):
    tenant = TenantFactory()
    one, other = MembershipFactory.create_batch(2, tenant=tenant, role=Role.ADMIN)

    came = at_once(
        lambda: invitations.leave_tenant(user=one.user, tenant_id=tenant.pk),
        lambda: services.remove_member(tenant=tenant, membership_id=other.pk),
    )

    assert [answer.code for answer in came if isinstance(answer, DomainError)] == ["last_administrator"]
    assert Membership.objects.filter(tenant=tenant, role=Role.ADMIN).count() == 1
