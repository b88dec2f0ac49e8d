"""The page of members and invitations, from both sides."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from tenants.models import Invitation, Membership
from tenants.scoping import Role
from tests.factories import InvitationFactory, MembershipFactory, UserFactory

pytestmark = pytest.mark.django_db
PAGE = "/membership/"


def signed_in(user):
    client = Client()
    client.force_login(user)
    return client


def text(answer):
    return answer.content.decode()


def test_who_belongs_nowhere_is_led_to_the_invitation_and_accepts():
    invitation = InvitationFactory(username="ann", tenant__name="Acme")
    client = signed_in(UserFactory(username="ann"))
    page = client.get(PAGE)
    assert page.status_code == 200
    assert "Acme" in text(page)

    answer = client.post(f"/membership/invitations/{invitation.pk}/accept/", follow=True)

    assert "You are a member of Acme now." in text(answer)
    assert client.get("/vms/").status_code == 200


def test_one_declines():
    invitation = InvitationFactory(username="ann", tenant__name="Acme")
    client = signed_in(UserFactory(username="ann"))

    answer = client.post(f"/membership/invitations/{invitation.pk}/decline/", follow=True)

    assert "Acme" not in text(answer)
    assert not Membership.objects.exists()


@pytest.mark.parametrize("name", ["ann", "nobody"])
def test_an_administrator_invites_and_withdraws_and_learns_nothing(name):
    admin = MembershipFactory(role=Role.ADMIN)
    UserFactory(username="ann")
    client = signed_in(admin.user)

    answer = client.post(
        f"/membership/{admin.tenant.pk}/invite/", {"username": name, "role": "viewer"}, follow=True
    )

    assert f"If there is a user called &#x27;{name}&#x27;" in text(answer)
    invitation = Invitation.objects.get()
    client.post(f"/membership/{admin.tenant.pk}/invitations/{invitation.pk}/withdraw/")
    assert not Invitation.objects.exists()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"role": "king"}, "role"),
        ({"role": ""}, "role"),
        ({"username": ""}, "username"),
        ({"username": "x" * 151}, "username"),
        ({"username": "a\x00"}, "username"),
    ],
)
def test_what_is_wrong_stands_at_its_field_and_nothing_typed_is_lost(fields, field):
    admin = MembershipFactory(role=Role.ADMIN)

    answer = signed_in(admin.user).post(
        f"/membership/{admin.tenant.pk}/invite/", {"username": "ann", "role": "operator", **fields}
    )

    assert answer.status_code == 400
    assert f'id="{field}-error"' in text(answer)
    assert "username" in fields or 'value="ann"' in text(answer)
    assert not Invitation.objects.exists()


def test_who_is_a_member_or_invited_is_not_invited_again():
    admin = MembershipFactory(role=Role.ADMIN)
    client, page = signed_in(admin.user), f"/membership/{admin.tenant.pk}/invite/"
    client.post(page, {"username": "ann", "role": "viewer"})

    for name, told in ((admin.user.username, "is already a member"), ("ann", "has already been invited")):
        answer = client.post(page, {"username": name, "role": "viewer"})
        assert answer.status_code == 409
        assert told in text(answer)
        assert f'value="{name}"' in text(answer)
    assert Invitation.objects.count() == 1


def test_the_forms_open_in_a_dialog_and_say_what_will_happen():
    admin = MembershipFactory(role=Role.ADMIN, tenant__name="Acme")
    member = MembershipFactory(tenant=admin.tenant, role=Role.VIEWER, user__username="ann")
    client, path = signed_in(admin.user), f"/membership/{admin.tenant.pk}"

    for page, told in (
        (f"{path}/invite/", "Invite member to Acme"),
        (f"{path}/members/{member.pk}/change/", "Change role of ann in Acme"),
        (f"{path}/members/{member.pk}/remove/", "ann no longer sees what Acme owns."),
        (f"{path}/leave/", "You no longer see what Acme owns."),
    ):
        dialog = text(client.get(page, headers={"X-Dialog": "true"}))
        assert told in dialog
        assert f'action="{page}"' in dialog
        assert "<html" not in dialog


def test_members_are_filtered_by_role_and_name():
    admin = MembershipFactory(role=Role.ADMIN, user__username="boss")
    MembershipFactory(tenant=admin.tenant, role=Role.VIEWER, user__username="ann")
    client = signed_in(admin.user)

    def rows(query):
        return re.findall(r'<td class="name">(\w+)', text(client.get(f"{PAGE}?{query}")))

    assert rows("") == ["ann", "boss"]
    assert rows("ordering=-user__username") == ["boss", "ann"]
    assert rows("role=viewer") == ["ann"]
    assert rows("search=BO") == ["boss"]
    assert "it is not applied" in text(client.get(f"{PAGE}?role=king"))


def test_a_panel_is_sent_only_when_something_has_changed():
    admin = MembershipFactory(role=Role.ADMIN)
    client = signed_in(admin.user)
    first = client.get(PAGE, headers={"X-Panel": "members"})

    again = {"X-Panel": "members", "If-None-Match": first["ETag"]}
    assert client.get(PAGE, headers=again).status_code == 304
    InvitationFactory(tenant=admin.tenant, username="ann", invited_by=admin.user)
    assert client.get(PAGE, headers=again).status_code == 200


def test_an_administrator_changes_and_removes_members():
    admin = MembershipFactory(role=Role.ADMIN)
    member = MembershipFactory(tenant=admin.tenant, role=Role.VIEWER)
    client = signed_in(admin.user)
    path = f"/membership/{admin.tenant.pk}/members/{member.pk}"

    client.post(f"{path}/change/", {"role": "operator"})
    member.refresh_from_db()
    assert member.role == Role.OPERATOR
    client.post(f"{path}/remove/")
    assert not Membership.objects.filter(pk=member.pk).exists()


def test_a_member_leaves_and_the_last_administrator_is_told():
    admin = MembershipFactory(role=Role.ADMIN)
    member = MembershipFactory(tenant=admin.tenant, role=Role.VIEWER)

    left = signed_in(member.user).post(f"/membership/{admin.tenant.pk}/leave/", follow=True)
    kept = signed_in(admin.user).post(f"/membership/{admin.tenant.pk}/leave/", follow=True)

    assert f"You have left {admin.tenant.name}." in text(left)
    assert "at least one administrator" in text(kept)
    assert list(Membership.objects.all()) == [admin]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_others_have_no_buttons_and_are_refused(role):
    admin = MembershipFactory(role=Role.ADMIN)
    member = MembershipFactory(tenant=admin.tenant, role=role)
    client = signed_in(member.user)
    assert "/invite/" not in text(client.get(PAGE))
    assert "/remove/" not in text(client.get(PAGE))

    client.post(f"/membership/{admin.tenant.pk}/invite/", {"username": "x", "role": "admin"})
    client.post(f"/membership/{admin.tenant.pk}/members/{member.pk}/change/", {"role": "admin"})
    client.post(f"/membership/{admin.tenant.pk}/members/{admin.pk}/remove/")

    member.refresh_from_db()
    assert member.role == role
    assert (Membership.objects.count(), Invitation.objects.count()) == (2, 0)


def test_a_stranger_is_told_that_there_is_no_such_thing():
    admin, stranger = MembershipFactory(role=Role.ADMIN), MembershipFactory(role=Role.ADMIN)
    invitation = InvitationFactory(tenant=admin.tenant, username="ann")
    client = signed_in(stranger.user)

    for path in (
        f"{admin.tenant.pk}/invite/",
        f"{admin.tenant.pk}/leave/",
        f"{admin.tenant.pk}/members/{admin.pk}/remove/",
        f"{stranger.tenant.pk}/members/{admin.pk}/remove/",
        f"{admin.tenant.pk}/invitations/{invitation.pk}/withdraw/",
        f"{stranger.tenant.pk}/invitations/{invitation.pk}/withdraw/",
        f"invitations/{invitation.pk}/accept/",
        f"invitations/{invitation.pk}/decline/",
    ):
        answer = client.post(f"{PAGE}{path}", {"username": "x", "role": "admin"})
        assert answer.status_code == 404, path


def test_it_costs_the_same_with_many_as_with_few(django_assert_max_num_queries):
    admin = MembershipFactory(role=Role.ADMIN)
    client = signed_in(admin.user)
    for _ in range(10):
        MembershipFactory(tenant=admin.tenant)
        InvitationFactory(tenant=admin.tenant, invited_by=admin.user)
        InvitationFactory(username=admin.user.username, invited_by=UserFactory())

    with django_assert_max_num_queries(12):
        client.get(PAGE)
