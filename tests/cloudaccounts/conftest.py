"""Fixtures of cloud accounts: the simulated cloud and an account in it, shared with the tests of VMs."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from cloudaccounts import connect
from cloudaccounts.sync.resources import sync_resource
from tests.vms.conftest import account, cloud

from .huawei_content import huawei, huawei_cloud, huawei_server

__all__ = ["account", "cloud", "huawei", "huawei_cloud", "huawei_server"]


@pytest.fixture(autouse=True)
def close_opened_clouds():
    """Close the clouds that a test has opened."""
    yield
    for opened in connect._open_clouds.values():
        opened.cloud.close()
    connect._open_clouds.clear()


@pytest.fixture
def new_key():
    """Return a function that generates keys for ENCRYPTION_KEYS."""
    return lambda: Fernet.generate_key().decode()


@pytest.fixture
def synced_account(cloud, account):
    """The account after a successful sync of its volumes."""
    cloud.call("POST", "seed", {"project": "demo", "volumes": 3, "snapshots": 2})
    assert sync_resource(account.pk, "volume").state == "success"
    return account


@pytest.fixture(scope="session")
def moto():
    """One server of moto's for all tests of this process."""
    from .aws_server import AwsServer

    server = AwsServer()
    yield server
    server.close()


@pytest.fixture
def aws(moto, settings, monkeypatch):
    """A cloud without anything but what AWS gives everybody; one attempt for a throttled request, so that tests do not wait."""
    from cloudaccounts.sync.aws import connection

    settings.ALLOW_LOCAL_CLOUDS = True
    moto.reset()
    monkeypatch.setattr(connection, "MAX_ATTEMPTS", 1)
    connection.opened_regions.clear()
    yield moto
    moto.reset()
    connection.opened_regions.clear()
