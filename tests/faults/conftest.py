"""The same cloud, account and VMs as the tests of the room; and web processes."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from api.models import ApiToken
from tests.vms.conftest import account, cloud, member, scope, vms_of
from tests.web_processes import start_web_process

__all__ = ["account", "cloud", "member", "scope", "vms_of"]


@pytest.fixture
def web(transactional_db, tmp_path):
    """Serve the portal by a real gunicorn: `web(workers=2)`; it ends with the test."""
    with ExitStack() as running:
        yield lambda **options: running.enter_context(start_web_process(tmp_path, **options))


@pytest.fixture
def authorization(member):
    """The header of a program that acts for the operator."""
    _row, token = ApiToken.objects.create(user=member.user, name="test", expiry=None)
    return {"Authorization": f"Token {token}"}
