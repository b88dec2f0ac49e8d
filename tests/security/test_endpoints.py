"""Addresses of accounts: the portal's own machine and metadata services are refused unless allowed."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from django.core.exceptions import ValidationError

from cloudaccounts.admin import CloudAccountForm
from security.endpoints import check_auth_url

LOCAL = [
    "http://127.0.0.1:5000/v3",
    "http://127.8.8.8/v3",
    "http://localhost/v3",
    "http://2130706433/v3",  # 127.0.0.1 as one number
    "http://[::1]:5000/v3",
    "http://[::ffff:127.0.0.1]/v3",
    "http://169.254.7.7/v3",
    "http://[fe80::1]/v3",
    "http://0x7f.1/v3",
    "http://0177.0.0.1/v3",
    "http://127.1/v3",
    "http://[64:ff9b::7f00:1]/v3",
    "http://[2002:7f00:1::]/v3",
    "http://[fe80::1%lo]/v3",
]
# No cloud is ever there, and who connects reads the machine's own secrets or the portal's database.
NOWHERE = [
    "http://0.0.0.0/v3",
    "http://[::]/v3",
    "http://224.0.0.1/v3",
    "http://255.255.255.255/v3",
    "http://203.0.113.5:0/v3",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::ffff:169.254.169.254]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[2002:a9fe:a9fe::]/",
    "http://[fd00:ec2::254]/",
    "http://[fd20:ce::254]/",
    "http://100.100.100.200/",
    "http://168.63.129.16/",
    "http://192.0.0.192/",
    "http://169.254.170.2/",
    "http://0xa9fea9fe/",
    "http://2852039166/",
]
# Addresses that are set aside for documents: nothing is sent there, and no name has to be looked up.
ELSEWHERE = ["https://203.0.113.5:5000/v3", "http://10.1.2.3/identity", "https://[2001:4860:4860::8888]/v3"]
NEVER = [
    "ftp://203.0.113.5/v3",
    "file:///etc/passwd",
    "gopher://203.0.113.5/",
    "//203.0.113.5/v3",
    "203.0.113.5/v3",
    "https:///v3",
    "https://ann:secret@203.0.113.5/v3",
    "https://ann@203.0.113.5/v3",
    "",
]


@pytest.mark.parametrize("url", LOCAL)
def test_a_local_address_is_refused_unless_it_is_allowed(url, settings):
    settings.ALLOW_LOCAL_CLOUDS = False
    with pytest.raises(ValidationError, match="ALLOW_LOCAL_CLOUDS"):
        check_auth_url(url)

    settings.ALLOW_LOCAL_CLOUDS = True
    check_auth_url(url)


@pytest.mark.parametrize("url", NOWHERE)
@pytest.mark.parametrize("allowed", [True, False])
def test_addresses_that_are_no_hosts_are_always_refused(url, allowed, settings):
    settings.ALLOW_LOCAL_CLOUDS = allowed

    with pytest.raises(ValidationError, match="no cloud is allowed"):
        check_auth_url(url)


@pytest.mark.parametrize("server", ["DATABASE", "REDIS"])
def test_own_servers_are_refused_despite_allow_local_clouds(server, settings):
    settings.ALLOW_LOCAL_CLOUDS = True
    ports = {
        "DATABASE": int(settings.DATABASES["default"]["PORT"]),
        "REDIS": urlsplit(settings.REDIS_URL).port,
    }

    for host in ("127.0.0.1", "127.0.0.2", "[::ffff:127.0.0.1]", "0x7f000001"):
        with pytest.raises(ValidationError, match="own database or broker"):
            check_auth_url(f"http://{host}:{ports[server]}/v3")


def test_the_operator_denies_and_allows_addresses(settings):
    settings.ALLOW_LOCAL_CLOUDS = False
    settings.DENIED_ADDRESSES = ["203.0.113.0/24"]
    settings.ALLOWED_ADDRESSES = ["203.0.113.9", "127.0.0.2"]

    check_auth_url("https://203.0.113.9/v3")
    check_auth_url("https://127.0.0.2/v3")
    for refused in ("203.0.113.8", "127.0.0.3"):
        with pytest.raises(ValidationError):
            check_auth_url(f"https://{refused}/v3")


def test_private_addresses_are_refused_by_setting(settings):
    settings.ALLOW_PRIVATE_ADDRESSES = False

    for refused in ("10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "[fc00::1]", "[64:ff9b::a00:1]"):
        with pytest.raises(ValidationError, match="ALLOW_PRIVATE_ADDRESSES"):
            check_auth_url(f"https://{refused}/v3")
    check_auth_url("https://8.8.8.8/v3")


@pytest.mark.parametrize("url", ELSEWHERE)
@pytest.mark.parametrize("allowed", [True, False])
def test_remote_address_is_accepted(url, allowed, settings):
    settings.ALLOW_LOCAL_CLOUDS = allowed

    check_auth_url(url)


@pytest.mark.parametrize("url", NEVER)
@pytest.mark.parametrize("allowed", [True, False])
def test_url_that_is_not_http_or_has_a_user_is_refused(url, allowed, settings):
    settings.ALLOW_LOCAL_CLOUDS = allowed

    with pytest.raises(ValidationError) as refused:
        check_auth_url(url)

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["https://203.0.113.5:99999/v3", "https://[203.0.113.5/v3", "https://203.0.113.5:x/"]
)
@pytest.mark.parametrize("allowed", [True, False])
def test_invalid_url_is_refused(url, allowed, settings):
    settings.ALLOW_LOCAL_CLOUDS = allowed

    with pytest.raises(ValidationError):
        check_auth_url(url)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/v3", "https://ann:secret@203.0.113.5/v3", "https://203.0.113.5:99999/v3"]
)
def test_admin_form_shows_the_error_at_the_field(url, settings):
    settings.ALLOW_LOCAL_CLOUDS = False

    form = CloudAccountForm({"name": "bad", "provider": "openstack", "auth_url": url, "secret": "x"})

    assert "auth_url" in form.errors
