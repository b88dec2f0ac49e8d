"""A stored secret is never shown: in the admin, by the API, in texts, or in logs."""

from __future__ import annotations

import logging

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.urls import reverse
from rest_framework.test import APIClient

from cloudaccounts.connect import build_credentials, open_cloud
from cloudaccounts.models import CloudAccount
from openstack_client import CloudError
from tenants.scoping import Role
from tests.factories import MembershipFactory, UserFactory, VirtualMachineFactory

pytestmark = pytest.mark.django_db
SECRET = "s3cr3t-that-nobody-sees"
ADD = "admin:cloudaccounts_cloudaccount_add"
CHANGE = "admin:cloudaccounts_cloudaccount_change"
LIST = "admin:cloudaccounts_cloudaccount_changelist"


@pytest.fixture
def administrator(client):
    client.force_login(UserFactory(is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def secretive():
    """An account with a secret, of a tenant with a VM in it."""
    account = CloudAccount(
        name="secretive", auth_url="http://127.0.0.1:9/v3", credential_kind="password", access_id="demo"
    )
    account.set_secret(SECRET)
    account.save()
    return account


def fields_of(account, **changed):
    names = ("name", "provider", "auth_url", "credential_kind", "access_id", "user_domain", "project_domain")
    return {
        **{name: getattr(account, name) for name in names},
        "regions": "[]",
        "sync_interval_minutes": 10,
        "active": "on",
        "secret": "",
        **changed,
    }


def shows_no_secret(text, account):
    assert account.name in text  # Or it would be about something else.
    assert SECRET not in text
    assert account.encrypted_secret not in text


def test_admin_viewer_does_not_see_the_secret(client, secretive):
    """Django shows such a person what the row has under a field's name, and calls it."""
    viewer = UserFactory(is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_cloudaccount"))
    client.force_login(viewer)

    page = client.get(reverse(CHANGE, args=[secretive.pk]))

    assert page.status_code == 200
    shows_no_secret(page.content.decode(), secretive)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("", []),
        ("[]", []),
        ('["RegionOne"]', ["RegionOne"]),
        *(
            (wrong, ["before"])
            for wrong in (
                "{}",
                "null",
                '"x"',
                '[""]',
                "[1]",
                '["\\ud800"]',
                '["\\u0000"]',
                "9" * 5000,
                "[" * 20_000,
            )
        ),
    ],
    ids=lambda value: str(value)[:12],
)
def test_regions_are_a_list_of_names_or_an_error_beside_the_field(administrator, secretive, typed, kept):
    secretive.regions = ["before"]
    secretive.save()

    answer = administrator.post(reverse(CHANGE, args=[secretive.pk]), fields_of(secretive, regions=typed))

    secretive.refresh_from_db()
    assert secretive.regions == kept
    if answer.status_code == 200:
        assert "regions" in answer.context["adminform"].form.errors
    else:
        assert answer.status_code == 302


def test_no_admin_page_shows_the_secret(administrator, secretive):
    page = reverse(CHANGE, args=[secretive.pk])
    refused = administrator.post(page, fields_of(secretive, auth_url="no address", secret=SECRET))
    assert refused.status_code == 200
    assert refused.context["errors"]

    for answer in (administrator.get(page), administrator.get(reverse(LIST)), refused):
        shows_no_secret(answer.content.decode(), secretive)


def test_entered_secret_is_stored_and_an_empty_field_keeps_it(administrator, secretive):
    page = reverse(CHANGE, args=[secretive.pk])

    assert administrator.post(page, fields_of(secretive, project="shop")).status_code == 302
    kept = CloudAccount.objects.get(pk=secretive.pk)
    assert administrator.post(page, fields_of(secretive, secret="another one")).status_code == 302
    changed = CloudAccount.objects.get(pk=secretive.pk)

    assert (kept.project, kept.decrypt_secret()) == ("shop", SECRET)
    assert changed.decrypt_secret() == "another one"
    assert "another one" not in str(list(LogEntry.objects.values()))


def test_a_new_account_needs_its_secret(administrator, secretive):
    fields = fields_of(secretive, name="new")

    without = administrator.post(reverse(ADD), fields)
    made = administrator.post(reverse(ADD), {**fields, "secret": SECRET})

    assert "secret" in without.context["adminform"].form.errors
    assert made.status_code == 302
    assert CloudAccount.objects.get(name="new").decrypt_secret() == SECRET


def test_no_text_of_an_account_or_cloud_shows_the_secret(secretive):
    opened = open_cloud(secretive, "RegionOne")

    for text in (
        repr(secretive),
        str(secretive),
        repr(opened),
        repr(opened.credentials),
        repr(build_credentials(secretive)),
        f"{opened.credentials}",
    ):
        assert SECRET not in text
        assert secretive.encrypted_secret not in text


def test_no_api_response_shows_the_secret(secretive):
    member = MembershipFactory(role=Role.ADMIN)
    VirtualMachineFactory(account=secretive, information_system__tenant=member.tenant)
    client = APIClient()
    client.force_authenticate(member.user)

    shows_no_secret(client.get("/api/v1/vms/").content.decode(), secretive)
    made = client.post(
        "/api/v1/information-systems/",
        {"name": "secretive", "default_account": secretive.pk},
        format="json",
    )
    assert made.status_code == 201
    shows_no_secret(made.content.decode(), secretive)


@pytest.mark.django_db(transaction=True)
def test_no_log_line_or_error_shows_the_secret(account, caplog):
    """Also when the cloud refuses it, and when everything is logged."""
    caplog.set_level(logging.DEBUG)
    account.set_secret(SECRET)
    account.save()

    with pytest.raises(CloudError) as refused:
        open_cloud(account, "RegionOne").check()

    assert refused.value.code == "authentication_failed"
    said = caplog.text + str([record.__dict__ for record in caplog.records])
    assert "/auth/tokens" in said  # The request itself was logged.
    for text in (said, str(refused.value), repr(refused.value)):
        assert SECRET not in text
