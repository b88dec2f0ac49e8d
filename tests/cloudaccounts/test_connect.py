"""Opening clouds: one per account and region, replaced when the credentials change, refused inside a transaction."""

from __future__ import annotations

import tempfile
import threading
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.core.exceptions import ValidationError
from django.db import connection, transaction

from cloudaccounts import connect
from cloudaccounts.connect import (
    CalledInTransactionError,
    build_credentials,
    fill_from_clouds_yaml,
    open_cloud,
)
from cloudaccounts.models import CloudAccount
from openstack_client import CloudError, CloudUnavailableError
from security.encryption import UnreadableSecretError
from security.endpoints import check_ca_bundle
from tests.factories import ScheduledAccountFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def demo():
    """An account whose address is unreachable."""
    account = ScheduledAccountFactory()
    account.set_secret("demo")
    account.save()
    return account


def again(account):
    """The account as the next request reads it."""
    return CloudAccount.objects.get(pk=account.pk)


# --- One for each ------------------------------------------------------------------------------------------


def test_one_cloud_per_account_and_region(demo):
    first = open_cloud(demo, "RegionOne")

    assert open_cloud(again(demo), "RegionOne") is first
    assert (first.region, first.credentials.auth_url) == ("RegionOne", demo.auth_url)
    assert open_cloud(demo, "RegionTwo") is not first
    assert open_cloud(demo, "RegionOne") is first


def test_accounts_with_equal_credentials_have_separate_clouds(demo):
    twin = ScheduledAccountFactory(auth_url=demo.auth_url, encrypted_secret=demo.encrypted_secret)

    assert open_cloud(twin, "RegionOne") is not open_cloud(demo, "RegionOne")


def test_threads_that_open_at_once_get_the_same_cloud(demo):
    together, opened = threading.Barrier(8), []

    def open_it():
        together.wait(10)
        opened.append(open_cloud(demo, "RegionOne"))

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(opened) == 8
    assert len(set(map(id, opened))) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "change",
    [
        {"auth_url": "http://127.0.0.1:10/v3"},
        {"access_id": "somebody"},
        {"project": "another"},
        {"user_domain": "Elsewhere"},
        {"project_domain": "Elsewhere"},
        {"credential_kind": "application_credential"},
        {"secret": "changed"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_change_of_credentials_replaces_the_cloud_and_closes_the_old_one(demo, change):
    old = open_cloud(demo, "RegionOne")
    if "secret" in change:
        demo.set_secret(change["secret"])
    else:
        ((name, value),) = change.items()
        setattr(demo, name, value)
    demo.save()

    new = open_cloud(again(demo), "RegionOne")

    assert new is not old
    assert new.credentials != old.credentials
    with pytest.raises(CloudUnavailableError, match="closed"):
        old.check()
    assert open_cloud(again(demo), "RegionOne") is new


def test_change_of_other_fields_keeps_the_cloud(demo):
    old = open_cloud(demo, "RegionOne")
    CloudAccount.objects.filter(pk=demo.pk).update(name="renamed", active=False, last_error="none")

    assert open_cloud(again(demo), "RegionOne") is old


def test_unreadable_secret_opens_no_cloud(demo, settings, new_key):
    settings.ENCRYPTION_KEYS = [new_key()]

    with pytest.raises(UnreadableSecretError):
        open_cloud(demo, "RegionOne")

    assert not connect._open_clouds


# --- Not inside a transaction ------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_cloud_is_not_called_inside_a_transaction(cloud, account):
    cloud.seed(1)
    cloud.call("DELETE", "requests")
    opened = open_cloud(account, "RegionOne")

    with transaction.atomic(), pytest.raises(CalledInTransactionError):
        opened.compute.check()
    with transaction.atomic(), pytest.raises(CalledInTransactionError):
        list(opened.compute.server_pages())

    assert cloud.counts()["total"] == 0  # Not even a login has left.
    assert not connection.in_atomic_block
    assert sum(len(list(page)) for page in opened.compute.server_pages()) == 1


# --- What one logs in with ---------------------------------------------------------------------------------


def test_an_application_credential_names_no_user_and_no_project(demo):
    demo.credential_kind = CloudAccount.CredentialKind.APPLICATION_CREDENTIAL

    found = build_credentials(demo)

    assert (found.kind, found.application_credential_id, found.application_credential_secret) == (
        "application_credential",
        "demo",
        "demo",
    )
    assert (found.username, found.password, found.project_name) == (None, None, None)


def test_ca_bundle_is_passed_as_text_without_a_file(demo, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    demo.ca_bundle = certificate()

    assert build_credentials(demo).ca_bundle == demo.ca_bundle
    assert build_credentials(CloudAccount(auth_url=demo.auth_url)).ca_bundle is None
    open_cloud(demo, "RegionOne")
    assert list(tmp_path.iterdir()) == []


# --- clouds.yaml -------------------------------------------------------------------------------------------

CLOUDS = """
clouds:
  by-password:
    region_name: Norden
    cacert: {ca}
    auth:
      auth_url: https://cloud.example.org:5000/v3
      username: ann
      password: "p: w#"
      project_name: shop
      user_domain_name: People
      project_domain_name: Projects
  by-credential:
    auth_type: v3applicationcredential
    auth:
      auth_url: https://cloud.example.org:5000/v3
      application_credential_id: "4711"
      application_credential_secret: hush
"""


@pytest.fixture
def clouds_yaml(tmp_path, monkeypatch):
    """A clouds.yaml of the test's own; whatever the machine has is not looked at."""
    (tmp_path / "ca.pem").write_text("certificates")
    path = tmp_path / "clouds.yaml"
    path.write_text(CLOUDS.format(ca=tmp_path / "ca.pem"))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(path))
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("clouds_yaml")
def test_an_account_is_filled_from_clouds_yaml():
    account = CloudAccount(name="new")

    region = fill_from_clouds_yaml(account, "by-password")
    account.save()

    account = again(account)
    assert region == "Norden"
    assert (account.auth_url, account.credential_kind) == ("https://cloud.example.org:5000/v3", "password")
    assert (account.access_id, account.decrypt_secret(), account.project) == ("ann", "p: w#", "shop")
    assert (account.user_domain, account.project_domain) == ("People", "Projects")
    assert account.ca_bundle == "certificates"


@pytest.mark.usefixtures("clouds_yaml")
def test_clouds_yaml_replaces_former_fields():
    account = CloudAccount(name="old", project="old", ca_bundle="old", credential_kind="password")
    account.set_secret("old")

    region = fill_from_clouds_yaml(account, "by-credential")

    assert (account.credential_kind, account.access_id, account.decrypt_secret()) == (
        "application_credential",
        "4711",
        "hush",
    )
    assert (region, account.project, account.ca_bundle) == ("", "", "")


@pytest.mark.usefixtures("clouds_yaml")
def test_cloud_missing_from_clouds_yaml_raises():
    account = CloudAccount(name="new")

    with pytest.raises(CloudError, match="nowhere"):
        fill_from_clouds_yaml(account, "nowhere")

    assert account.encrypted_secret == ""


def certificate():
    """Return a self-signed certificate as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cloud")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1)
    )
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def test_ca_bundle_may_have_comments_in_any_language():
    check_ca_bundle(f"云的证书\n{certificate()}")

    for nothing in ("云的证书", f"{certificate()[:-100]}云"):
        with pytest.raises(ValidationError):
            check_ca_bundle(nothing)
