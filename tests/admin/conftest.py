"""Who looks at the admin, and rows for every table that it shows."""

from __future__ import annotations

import pytest

from tests.factories import UserFactory


@pytest.fixture
def administrator(db, client):
    """A client that is signed in as somebody who may do everything."""
    client.force_login(UserFactory(is_staff=True, is_superuser=True))
    return client
