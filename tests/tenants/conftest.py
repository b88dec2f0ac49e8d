"""Signed-in clients, and simultaneous calls."""

from __future__ import annotations

import threading

import pytest
from django.db import connection
from rest_framework.test import APIClient

from tenants.scoping import Role
from tests.factories import MembershipFactory


@pytest.fixture
def client_of():
    """Return a function that signs a client in as a user."""

    def client(user):
        get_user = APIClient()
        get_user.force_authenticate(user)
        return get_user

    return client


@pytest.fixture
def admin(db):
    """Return the only administrator of a tenant."""
    return MembershipFactory(role=Role.ADMIN)


@pytest.fixture
def client(admin, client_of):
    """Signed in as the administrator."""
    return client_of(admin.user)


@pytest.fixture
def at_once():
    """Return a function that runs functions simultaneously, each in a thread with its own connection, and returns their results or errors."""

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
