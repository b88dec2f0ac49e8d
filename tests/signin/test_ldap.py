"""Signing in with an LDAP directory: a real slapd with TLS."""

from __future__ import annotations

import signal
import socket

import pytest
from django.test import Client
from rest_framework.test import APIClient

from devserver import launch
from events.models import Event
from signin import waiting
from signin.models import ExternalIdentity, RoleRule
from signin.providers import parse_ldap_servers
from tenants.models import Membership, User
from tenants.scoping import Role
from tests.factories import TenantFactory, UserFactory

from .slapd import BIND_DN, BIND_PASSWORD, SLAPD, SUFFIX, run_slapd

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(SLAPD is None, reason="slapd is not installed (Debian: apt-get install slapd)"),
]
GROUP = f"cn=operators,ou=groups,{SUFFIX}"


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    with run_slapd(tmp_path_factory.mktemp("slapd")) as running:
        yield running


@pytest.fixture(autouse=True)
def configure(directory, settings):
    """A function that puts the directory into the settings; called once with the usual values."""

    def configure(**changes):
        fields = {
            "name": "Directory",
            "url": directory.url,
            "user_base": f"ou=people,{SUFFIX}",
            "bind_dn": BIND_DN,
            "bind_password": BIND_PASSWORD,
            "group_base": f"ou=groups,{SUFFIX}",
            "ca_file": directory.ca_file,
        }
        settings.LDAP_SERVERS = parse_ldap_servers({"ad": fields | changes})

    waiting._away_until.clear()
    configure()
    yield configure
    waiting._away_until.clear()


def sign_in(username, password):
    client = Client()
    return client, client.post("/login/", {"username": username, "password": password})


@pytest.mark.parametrize("with_starttls", [False, True])
def test_a_user_of_the_directory_signs_in_with_roles_by_rules(directory, configure, with_starttls):
    if with_starttls:
        configure(url=directory.plain_url)
    rule = RoleRule.objects.create(provider="ad", group=GROUP, tenant=TenantFactory(), role=Role.OPERATOR)

    client, answer = sign_in("li.wei", "secret")

    assert answer.status_code == 302 and client.get("/overview/").status_code == 200
    user = User.objects.get()
    assert (user.username, user.email, user.first_name) == ("li.wei@ad", "li.wei@example.org", "Wei")
    member = Membership.objects.get()
    assert (member.tenant, member.role, member.rule_provider) == (rule.tenant, "operator", "ad")
    assert Event.objects.get(code="sign_in.succeeded").parameters == {"method": "ldap", "provider": "ad"}
    assert sign_in("li.wei@ad", "secret")[1].status_code == 302 and User.objects.count() == 1
    body = {"username": "li.wei", "password": "secret"}
    assert APIClient().post("/api/v1/auth/login", body, format="json").status_code == 200
    RoleRule.objects.all().delete()
    sign_in("li.wei", "secret")
    assert not Membership.objects.exists()


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("li.wei", "wrong"),
        ("li.wei", " "),
        ("nobody", "secret"),
        ("*", "secret"),
        ("li.*", "secret"),
        ("li.wei)(uid=*", "secret"),
        ("*)(|(uid=li.wei)", "secret"),
        ("\\2a", "secret"),
        ("li.wei\\00", "secret"),
        ("李伟", "secret"),
        ("twin", "secret"),
        ("", "secret"),
    ],
)
def test_what_is_no_name_and_password_opens_nothing(username, password):
    client, answer = sign_in(username, password)

    assert answer.status_code == 200 and client.get("/overview/").status_code == 302
    assert not User.objects.exists()


def test_an_empty_password_is_no_bind():
    """A bind with a name and no password succeeds in every directory, as an anonymous one."""
    from django.conf import settings

    from signin.ldap import authenticate
    from signin.waiting import Deadline

    assert authenticate(settings.LDAP_SERVERS["ad"], "li.wei", "", Deadline(10)) is None


def test_a_local_user_is_never_asked_for_in_the_directory():
    UserFactory(username="zoe")

    assert sign_in("zoe", "other")[1].status_code == 200
    assert sign_in("zoe", "demo")[1].status_code == 302
    assert not ExternalIdentity.objects.exists()


def test_successful_sign_ins_do_not_count_as_failed_ones(settings):
    settings.LOGIN_NETWORK_RATE = "2/min"

    assert [sign_in("li.wei", "secret")[1].status_code for _ in range(4)] == [302] * 4
    assert [sign_in("li.wei", "wrong")[1].status_code for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize(
    "change",
    [
        lambda directory: {"ca_file": directory.other_ca_file},
        lambda directory: {"ca_file": ""},
        lambda directory: {"ca_file": "/nowhere/ca.pem"},
        lambda directory: {"url": directory.url.replace("127.0.0.1", "localhost")},
        lambda directory: {"url": directory.url.replace("ldaps", "ldap")},
        lambda directory: {"url": "ldaps://169.254.169.254"},
        lambda directory: {"bind_password": "wrong"},
        lambda directory: {"user_base": "dc=nowhere"},
        lambda directory: {"user_filter": "(uid={username})("},
        lambda directory: {"id_attribute": "jpegPhoto"},
    ],
)
def test_a_directory_that_cannot_be_trusted_or_asked_signs_nobody_in(directory, configure, change, settings):
    """Also with a certificate of another authority or of another name: the password would go to anybody."""
    settings.SIGN_IN_PROVIDER_SECONDS = 2
    configure(**change(directory))

    client, answer = sign_in("li.wei", "secret")

    assert answer.status_code == 503 and "Directory" in answer.content.decode()
    assert client.get("/overview/").status_code == 302 and not User.objects.exists()


def test_an_outage_locks_no_local_user_out(configure, settings):
    """The directory accepts connections and says nothing: local users are not even delayed, others are told so."""
    settings.SIGN_IN_PROVIDER_SECONDS = 0.3
    UserFactory(username="local", is_staff=True)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        configure(url=f"ldaps://127.0.0.1:{silent.getsockname()[1]}")
        assert sign_in("local", "demo")[1].status_code == 302
        assert sign_in("local", "wrong")[1].status_code == 200
        assert not waiting._away_until
        _client, answer = sign_in("li.wei", "secret")
        assert answer.status_code == 503
        body = {"username": "li.wei", "password": "secret"}
        refused = APIClient().post("/api/v1/auth/login", body, format="json")
        assert (refused.status_code, refused.json()["code"]) == (503, "directory_away")


def test_a_server_that_dies_and_comes_back(tmp_path, configure):
    with run_slapd(tmp_path) as second:
        configure(url=second.url, ca_file=second.ca_file)
        assert sign_in("li.wei", "secret")[1].status_code == 302
        launch.end(second.process, stop_signal=signal.SIGKILL, seconds=5)
        assert sign_in("li.wei", "secret")[1].status_code == 503
    configure()
    waiting._away_until.clear()
    assert sign_in("li.wei", "secret")[1].status_code == 302
