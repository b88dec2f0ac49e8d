"""Accounts of the simulated Alibaba Cloud, for its tests."""

from __future__ import annotations

import json

import pytest

from cloudaccounts.models import CloudAccount
from simulator.alibaba import AlibabaServer
from simulator.http_messages import Response

from .alibaba_content import ACCESS_KEY, SECRET_KEY

REGIONS = ["cn-hangzhou", "eu-central-1"]
HOME = REGIONS[0]
ROLE = "acs:ram::1234567890123456:role/portal"


@pytest.fixture(scope="module")
def simulated():
    server = AlibabaServer()
    yield server
    server.stop()


@pytest.fixture
def alibaba(simulated, settings, monkeypatch):
    """A cloud without anything but its zones, and a key; waits of no length."""
    from cloudaccounts.sync.alibaba import connection

    settings.ALLOW_LOCAL_CLOUDS = True
    simulated.reset()
    simulated.state.add_key(ACCESS_KEY, SECRET_KEY)
    monkeypatch.setattr(connection, "FIRST_WAIT_SECONDS", 0)
    connection.opened_regions.clear()
    yield simulated
    connection.opened_regions.clear()


def entered(api, alibaba, credentials=None, **fields):
    account = {
        "name": "web shop",
        "provider": "alibaba",
        "credentials": {
            "access_key_id": ACCESS_KEY,
            "access_key_secret": SECRET_KEY,
            **(credentials or {}),
        },
        "endpoint": alibaba.url,
        "regions": REGIONS,
        "sync_interval_minutes": 5,
        **fields,
    }
    return api.post("/api/v1/cloud-accounts/", account, format="json")


def an_account(alibaba, secrets=None, **columns):
    """An account that was verified before."""
    account = CloudAccount(
        **{
            "name": "alibaba",
            "provider": "alibaba",
            "access_id": ACCESS_KEY,
            "auth_url": alibaba.url,
            "regions": [HOME],
            **columns,
        }
    )
    account.set_secret(json.dumps({"access_key_secret": SECRET_KEY, **(secrets or {})}))
    account.save()
    return account


def page(*objects, **members):
    return Response(200, {"Disks": {"Disk": list(objects)}, **members})
