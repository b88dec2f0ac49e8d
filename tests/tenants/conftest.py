"""Clients that are signed in as somebody, and what is done by many at the same moment."""

from __future__ import annotations

import threading

import pytest
from django.db import connection
from rest_framework.test import APIClient

from tenants.scoping import Role
from tests.factories import MembershipFactory


@pytest.fixture
def client_of():
    """A client that is signed in as a user."""

    def client(user):
        get_user = APIClient()
        get_user.force_authenticate(user)
        return get_user

    return client


@pytest.fixture
def admin(db):
    """The only administrator of a tenant."""
    return MembershipFactory(role=Role.ADMIN)


@pytest.fixture
def client(admin, client_of):
    """Signed in as the administrator."""
    return client_of(admin.user)


@pytest.fixture
def at_once():
    """Run functions at the same moment, each in a thread with a connection of its own; what they gave or raised."""

    def run(*functions):
        together, came = threading.Barrier(len(functions)), [None] * len(functions)

        def one(number, function):
            try:
                together.wait(10)
                came[number] = function()
            except Exception as error:  # noqa: BLE001 - what it raised is what the test asks about.
                came[number] = error
            finally:
                connection.close()

        threads = [threading.Thread(target=one, args=numbered) for numbered in enumerate(functions)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return came

    return run
