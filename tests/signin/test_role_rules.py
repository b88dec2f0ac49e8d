"""Rules that give roles to the groups of a provider."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from events.models import Event
from signin.models import ExternalIdentity, RoleRule
from tenants.models import Membership, User
from tenants.scoping import Role
from tests.factories import MembershipFactory, TenantFactory, UserFactory

pytestmark = pytest.mark.django_db


def make_rule(group, role, tenant=None, provider="corp"):
    return RoleRule.objects.create(
        provider=provider, group=group, role=role, tenant=tenant or TenantFactory()
    )


def list_roles():
    return {
        (member.tenant_id, member.role, member.rule_provider)
        for member in Membership.objects.filter(user__external_identity__isnull=False)
    }


def test_groups_give_roles_and_take_them_away(provider, sign_in):
    low = make_rule("staff", Role.VIEWER)
    high = make_rule("vm-admins", Role.ADMIN, low.tenant)
    second = make_rule("vm-admins", Role.OPERATOR)
    make_rule("VM-Admins", Role.ADMIN)
    make_rule("vm-admins", Role.ADMIN, provider="other")
    MembershipFactory(tenant=low.tenant, role=Role.ADMIN)

    provider.claims["groups"] = ["vm-admins", "staff", "unknown"]
    client, _answer = sign_in()
    assert list_roles() == {(high.tenant_id, "admin", "corp"), (second.tenant_id, "operator", "corp")}
    assert client.get("/api/v1/auth/me").json()["tenants"][0]["role"]

    provider.claims["groups"] = ["staff"]
    sign_in()
    assert list_roles() == {(low.tenant_id, "viewer", "corp")}

    # The group has vanished, with the claim.
    del provider.claims["groups"]
    sign_in()
    assert list_roles() == set()
    assert not Event.objects.filter(code="tenant.without_administrator").exists()
    codes = Event.objects.filter(tenant=low.tenant, code__startswith="member.").order_by("pk")
    assert [event.code.split(".")[1] for event in codes][-3:] == ["created", "changed", "deleted"]


@pytest.mark.parametrize("groups", [("a", "b"), ("b", "a")])
def test_an_operator_counts_more_than_an_auditor(provider, sign_in, groups):
    first = make_rule(groups[0], Role.OPERATOR)
    make_rule(groups[1], Role.AUDITOR, first.tenant)
    provider.claims["groups"] = ["a", "b"]

    sign_in()

    assert list_roles() == {(first.tenant_id, "operator", "corp")}


def test_what_a_person_gave_stays(provider, sign_in):
    rule = make_rule("staff", Role.OPERATOR)
    provider.claims["groups"] = ["staff"]
    sign_in()
    user = User.objects.get(external_identity__isnull=False)
    admin = MembershipFactory(tenant=rule.tenant, role=Role.ADMIN)
    other = MembershipFactory(user=user, role=Role.VIEWER)
    member = Membership.objects.get(user=user, tenant=rule.tenant)

    # An administrator changes the role: from then on it is one that a person gave.
    browser = Client()
    browser.force_login(admin.user)
    path = f"/api/v1/tenants/{rule.tenant_id}/members/{member.pk}/"
    answer = browser.patch(path, {"role": "viewer"}, content_type="application/json")
    assert answer.json()["rule_provider"] == ""
    provider.claims["groups"] = []
    sign_in()

    assert list_roles() == {(rule.tenant_id, "viewer", ""), (other.tenant_id, "viewer", "")}


def test_the_last_administrator_by_rule_goes_with_an_event(provider, sign_in):
    rule = make_rule("admins", Role.ADMIN)
    provider.claims["groups"] = ["admins"]
    sign_in()

    provider.claims["groups"] = []
    sign_in()

    assert not Membership.objects.filter(tenant=rule.tenant).exists()
    event = Event.objects.get(code="tenant.without_administrator")
    assert event.tenant_id == rule.tenant_id
    assert event.parameters == {"user": "li.wei@corp", "provider": "corp"}


def test_too_many_groups_are_no_groups_that_are_gone(provider, sign_in):
    """Entra ID leaves the claim out, and says so: nobody may lose a role for it."""
    make_rule("staff", Role.OPERATOR)
    provider.claims["groups"] = ["staff"]
    sign_in()
    del provider.claims["groups"]
    provider.claims["_claim_names"] = {"groups": "src1"}

    _client, answer = sign_in()

    assert answer.status_code == 403 and "too many" in answer.content.decode()
    assert len(list_roles()) == 1


@pytest.mark.parametrize(
    "value", [None, 7, {"staff": 1}, [["staff"], 5, None, "x" * 501, "nul\x00"], "staff,other"]
)
def test_groups_that_are_no_texts_give_nothing(provider, sign_in, value):
    make_rule("staff", Role.ADMIN)
    provider.claims["groups"] = value

    assert sign_in()[1].status_code == 302
    assert not Membership.objects.exists()


def test_nested_claims_and_userinfo_have_groups_too(provider, sign_in, settings):
    from dataclasses import replace

    settings.OIDC_PROVIDERS["corp"] = replace(
        settings.OIDC_PROVIDERS["corp"], groups_claim="realm_access.roles"
    )
    make_rule("operators", Role.OPERATOR)
    provider.claims = {}
    provider.userinfo = {"realm_access": {"roles": ["operators"]}, "preferred_username": "Zoë +1\n"}

    sign_in()

    member = Membership.objects.get()
    assert (member.role, member.user.username) == ("operator", "Zoë+1@corp")


def test_a_preview_changes_nothing(provider, sign_in):
    rule = make_rule("staff", Role.OPERATOR)
    provider.claims["groups"] = ["staff"]
    sign_in()
    RoleRule.objects.all().delete()
    new = make_rule("staff", Role.ADMIN)

    def preview(*args, **options):
        out = io.StringIO()
        call_command("preview_role_rules", *args, stdout=out, **options)
        return out.getvalue()

    assert set(preview("li.wei@corp").splitlines()) == {
        f"{rule.tenant.slug}: operator -> none",
        f"{new.tenant.slug}: none -> admin",
    }
    assert preview(provider="corp", group=["staff"]) == f"{new.tenant.slug}: none -> admin\n"
    assert list_roles() == {(rule.tenant_id, "operator", "corp")}
    with pytest.raises(CommandError, match="No user 'nobody'"):
        preview("nobody")
    with pytest.raises(CommandError, match="No provider 'corps'"):
        preview(provider="corps")
    client = Client()
    client.force_login(UserFactory(is_staff=True, is_superuser=True))
    identity = ExternalIdentity.objects.get()
    page = client.get(f"/admin/signin/externalidentity/{identity.pk}/change/").content.decode()
    assert f"<li>{rule.tenant.name}: operator ends</li>" in page
    assert f"<li>{new.tenant.name}: becomes administrator</li>" in page
