"""The simulated cloud and an account in it, as the tests of VMs have them."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from cloudaccounts import connect
from tests.vms.conftest import account, cloud

__all__ = ["account", "cloud"]


@pytest.fixture(autouse=True)
def nothing_stays_open():
    """Close what a test has opened."""
    yield
    for opened in connect._open_clouds.values():
        opened.cloud.close()
    connect._open_clouds.clear()


@pytest.fixture
def new_key():
    """Makes keys for ENCRYPTION_KEYS."""
    return lambda: Fernet.generate_key().decode()
