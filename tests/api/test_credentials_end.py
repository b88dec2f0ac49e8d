"""Sessions, tokens, replays and open responses end with the credentials of their user."""

from collections.abc import Callable
from io import StringIO
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth.models import Permission
from django.core.exceptions import PermissionDenied
from django.core.management import call_command
from django.db import connection
from django.test import Client, RequestFactory
from rest_framework.test import APIClient

from api import csv_responses
from api.csv_responses import csv_response
from api.models import ApiToken
from tasks import events
from tasks.models import Job
from tenants.models import Membership, User
from tenants.response_access import ResponseAccess
from tenants.scoped_views import build_scope
from tenants.scoping import Role
from tests.factories import InformationSystemFactory, MembershipFactory, UserFactory, VirtualMachineFactory
from tests.isolation.objects import create_job

from .conftest import client_of

pytestmark = pytest.mark.django_db
ME = "/api/v1/auth/me"
NEW = "fjord-lamp-22"


def browser_of(user: User) -> Client:
    browser = Client()
    assert browser.login(username=user.username, password="demo")
    return browser


def by_set_password(user: User) -> None:
    user.set_password(NEW)
    user.save()


def by_update(user: User) -> None:
    other = User(username="x")
    other.set_password(NEW)
    User.objects.filter(pk=user.pk).update(password=other.password)


def by_command(user: User) -> None:
    with patch("getpass.getpass", return_value=NEW):
        call_command("changepassword", user.username, stdout=StringIO())


def by_the_admin(user: User) -> None:
    client = Client()
    client.force_login(UserFactory(is_staff=True, is_superuser=True))
    form = {"password1": NEW, "password2": NEW, "usable_password": "true"}
    answer = client.post(f"/admin/tenants/user/{user.pk}/password/", form)
    assert answer.status_code == 302, answer.content


def by_switching_off_and_on(user: User) -> None:
    for active in (False, True):
        User.objects.filter(pk=user.pk).update(is_active=active)


def by_taking_staff_away(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_staff=False)


def by_taking_superuser_away(user: User) -> None:
    user.is_superuser = False
    user.save()


def by_sql(user: User) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE tenants_user SET password = 'x' WHERE id = %s", [user.pk])


def by_the_button(user: User) -> None:
    client = Client()
    client.force_login(UserFactory(is_staff=True, is_superuser=True))
    client.post("/admin/tenants/user/", {"action": "end_credentials", "_selected_action": [str(user.pk)]})


WAYS = [
    by_set_password,
    by_update,
    by_command,
    by_the_admin,
    by_switching_off_and_on,
    by_taking_staff_away,
    by_taking_superuser_away,
    by_sql,
    by_the_button,
]


@pytest.mark.parametrize("end", WAYS, ids=lambda way: way.__name__)
def test_sessions_and_tokens_end_at_once(end: Callable[[User], None]) -> None:
    user = UserFactory(is_staff=True, is_superuser=True)
    program, browser = client_of(user), browser_of(user)
    assert program.get(ME).status_code == browser.get(ME).status_code == 200

    end(user)

    assert program.get(ME).status_code == browser.get(ME).status_code == 401
    assert browser.get("/vms/").status_code == 302
    fresh = User.objects.get(pk=user.pk)
    assert client_of(fresh).get(ME).status_code == 200


def test_an_object_that_was_read_before_brings_nothing_back(user: User) -> None:
    program, stale = client_of(user), User.objects.get(pk=user.pk)
    by_switching_off_and_on(user)

    stale.email = "ann@example.org"
    stale.save()

    assert program.get(ME).status_code == 401


@pytest.mark.parametrize(
    "change", [{"email": "a@example.org"}, {"is_staff": True}, {"language": "en"}], ids=str
)
def test_other_changes_of_a_user_end_no_credentials(user: User, change: dict[str, Any]) -> None:
    program, browser = client_of(user), browser_of(user)

    User.objects.filter(pk=user.pk).update(**change)

    assert program.get(ME).status_code == browser.get(ME).status_code == 200


def test_who_changes_the_own_password_stays_signed_in_here_alone() -> None:
    user = UserFactory(is_staff=True)
    here, there, program = browser_of(user), browser_of(user), client_of(user)

    form = {"old_password": "demo", "new_password1": NEW, "new_password2": NEW}
    assert here.post("/admin/password_change/", form).status_code == 302

    assert [one.get(ME).status_code for one in (here, there, program)] == [200, 401, 401]


def test_the_same_password_under_a_new_hash_ends_no_token(user: User, settings: Any) -> None:
    program = client_of(user)
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.PBKDF2SHA1PasswordHasher",
        *settings.PASSWORD_HASHERS,
    ]

    browser_of(user)

    assert User.objects.get(pk=user.pk).password.startswith("pbkdf2_sha1")
    assert program.get(ME).status_code == 200


def test_only_superusers_touch_superusers_and_give_rights() -> None:
    helper, chief = UserFactory(is_staff=True), UserFactory(is_staff=True, is_superuser=True)
    helper.user_permissions.set(Permission.objects.filter(codename__in=["view_user", "change_user"]))
    client = Client()
    client.force_login(helper)

    assert client.get(f"/admin/tenants/user/{chief.pk}/password/").status_code == 403
    own = client.get(f"/admin/tenants/user/{helper.pk}/change/")
    assert "is_superuser" not in own.context["adminform"].form.fields


class TestTokensInTheAdmin:
    def test_they_are_listed_without_the_secret_and_revoked(self, user: User) -> None:
        token, secret = ApiToken.objects.create(user=user, name="nightly", expiry=None)
        program = APIClient()
        program.credentials(HTTP_AUTHORIZATION=f"Token {secret}")
        program.get(ME)
        client = Client()
        client.force_login(UserFactory(is_staff=True, is_superuser=True))

        listed = client.get("/admin/portal_api/apitoken/").content.decode()
        assert "nightly" in listed and user.username in listed
        assert secret not in listed and secret[:8] not in listed
        client.post("/admin/portal_api/apitoken/", {"action": "revoke", "_selected_action": [token.pk]})

        assert program.get(ME).status_code == 401

    def test_nobody_makes_or_changes_one_there(self) -> None:
        client = Client()
        client.force_login(UserFactory(is_staff=True, is_superuser=True))

        assert client.get("/admin/portal_api/apitoken/add/").status_code == 403


class TestReplay:
    @pytest.fixture
    def member(self) -> Membership:
        made: Membership = MembershipFactory(role=Role.ADMIN)
        return made

    @staticmethod
    def create(user: User, **headers: str) -> Any:
        headers = {"Idempotency-Key": "k", **headers}
        return client_of(user).post("/api/v1/information-systems/", {"name": "Shop"}, headers=headers)

    def test_one_who_still_may_gets_the_first_answer(self, member: Membership) -> None:
        first, again = self.create(member.user), self.create(member.user)

        assert (first.status_code, again.status_code) == (201, 201)
        assert again["Idempotent-Replayed"] == "true"
        assert again.content == first.content

    def test_one_who_has_lost_the_role_does_not(self, member: Membership) -> None:
        self.create(member.user)
        Membership.objects.update(role=Role.OPERATOR)

        refused = self.create(member.user)

        assert (refused.status_code, refused.json()["code"]) == (403, "role_too_low")

    def test_one_who_has_gone_to_another_tenant_does_not(self, member: Membership) -> None:
        self.create(member.user)
        member.delete()
        MembershipFactory(user=member.user, role=Role.ADMIN)

        assert self.create(member.user).status_code == 404

    def test_staff_who_have_lost_the_permission_do_not(self, member: Membership) -> None:
        staff = UserFactory(is_staff=True)
        staff.user_permissions.add(Permission.objects.get(codename="change_informationsystem"))
        tenant = {"X-Tenant": member.tenant.slug}
        assert self.create(staff, **tenant).status_code == 201
        staff.user_permissions.clear()

        refused = self.create(User.objects.get(pk=staff.pk), **tenant)

        assert (refused.status_code, refused.json()["code"]) == (403, "permission_missing")


class TestOpenAnswers:
    @pytest.fixture
    def member(self) -> Membership:
        made: Membership = MembershipFactory(role=Role.OPERATOR)
        return made

    @pytest.fixture(
        params=["password", "inactive", "membership", "token", "tenant"],
    )
    def end(self, request: pytest.FixtureRequest, member: Membership) -> Callable[[], None]:
        def ended() -> None:
            match request.param:
                case "password":
                    by_update(member.user)
                case "inactive":
                    User.objects.filter(pk=member.user.pk).update(is_active=False)
                case "membership":
                    Membership.objects.filter(pk=member.pk).delete()
                case "token":
                    ApiToken.objects.all().delete()
                case "tenant":
                    type(member.tenant).objects.update(active=False)

        return ended

    @staticmethod
    def opened(member: Membership) -> ResponseAccess:
        request: Any = RequestFactory().get("/")
        request.auth, _secret = ApiToken.objects.create(user=member.user, name="asks", expiry=None)
        return ResponseAccess(request, build_scope(member.user, ""))

    def test_events_end(
        self, member: Membership, end: Callable[[], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(events, "CHECK_EVERY_SECONDS", 0.0)
        monkeypatch.setattr(events, "POLL_EVERY_SECONDS", 0.01)
        job = Job.objects.get(pk=create_job(member)["id"])
        answer = events.event_stream(RequestFactory().get("/"), job, self.opened(member))
        stream: Any = iter(answer.streaming_content)  # type: ignore[call-overload]
        assert b"retry" in next(stream)
        assert b"event: job" in next(stream)

        end()
        Job.objects.filter(pk=job.pk).update(subject="secret")

        assert list(stream) == []

    def test_a_file_is_broken_off(
        self, member: Membership, end: Callable[[], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(csv_responses, "ROWS_BETWEEN_CHECKS", 1)
        for _ in range(3):
            VirtualMachineFactory(information_system=InformationSystemFactory(tenant=member.tenant))
        from vms.models import VirtualMachine

        answer = csv_response("vms", ["name"], VirtualMachine.objects.all(), self.opened(member).get_scope)
        stream: Any = iter(answer.streaming_content)  # type: ignore[call-overload]
        next(stream)
        next(stream)

        end()

        with pytest.raises(PermissionDenied):
            list(stream)

    def test_a_wait_ends_with_a_refusal(
        self, member: Membership, end: Callable[[], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        vm = VirtualMachineFactory(information_system=InformationSystemFactory(tenant=member.tenant))

        def wait(job: Job, seconds: float) -> Job:
            end()
            return job

        monkeypatch.setattr("tasks.command_views.wait_for_job", wait)
        answer = client_of(member.user).post(
            f"/api/v1/vms/{vm.pk}/actions/", {"action": "start"}, headers={"Prefer": "wait=5"}
        )

        assert answer.status_code == 401
        assert "job" not in answer.json()

    def test_signing_out_ends_what_a_page_follows(self, member: Membership) -> None:
        browser = browser_of(member.user)
        request = RequestFactory().get("/")
        request.session = browser.session
        opened = ResponseAccess(request, build_scope(member.user, ""))
        assert opened.get_scope() is not None

        browser.post("/logout/")

        assert opened.get_scope() is None
