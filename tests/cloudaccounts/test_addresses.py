"""Where an account may lead: never to the portal's own machine or to a metadata service, unless that is allowed."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from cloudaccounts.addresses import check_auth_url
from cloudaccounts.admin import CloudAccountForm

LOCAL = [
    "http://127.0.0.1:5000/v3",
    "http://127.8.8.8/v3",
    "http://localhost/v3",
    "http://2130706433/v3",  # 127.0.0.1 as one number
    "http://0.0.0.0/v3",
    "http://[::1]:5000/v3",
    "http://[::]/v3",
    "http://[::ffff:127.0.0.1]/v3",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::ffff:169.254.169.254]/",
    "http://[fe80::1]/v3",
    "http://224.0.0.1/v3",
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


@pytest.mark.parametrize("url", ELSEWHERE)
@pytest.mark.parametrize("allowed", [True, False])
def test_an_address_elsewhere_is_taken(url, allowed, settings):
    settings.ALLOW_LOCAL_CLOUDS = allowed

    check_auth_url(url)


@pytest.mark.parametrize("url", NEVER)
@pytest.mark.parametrize("allowed", [True, False])
def test_what_is_no_web_address_or_names_a_user_is_always_refused(url, allowed, settings):
    settings.ALLOW_LOCAL_CLOUDS = allowed

    with pytest.raises(ValidationError) as refused:
        check_auth_url(url)

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["https://203.0.113.5:99999/v3", "https://[203.0.113.5/v3", "https://203.0.113.5:x/"]
)
@pytest.mark.parametrize("allowed", [True, False])
def test_what_cannot_be_read_as_an_address_is_refused_and_breaks_nothing(url, allowed, settings):
    settings.ALLOW_LOCAL_CLOUDS = allowed

    with pytest.raises(ValidationError):
        check_auth_url(url)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/v3", "https://ann:secret@203.0.113.5/v3", "https://203.0.113.5:99999/v3"]
)
def test_the_admins_form_says_so_at_the_field(url, settings):
    settings.ALLOW_LOCAL_CLOUDS = False

    form = CloudAccountForm({"name": "bad", "provider": "openstack", "auth_url": url, "secret": "x"})

    assert "auth_url" in form.errors
