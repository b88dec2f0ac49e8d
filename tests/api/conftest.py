from collections.abc import Iterator

import pytest
from django.core.cache import cache
from rest_framework.test import APIClient

from api import throttling
from api.models import ApiToken
from tenants.models import User
from tests.factories import UserFactory


@pytest.fixture(autouse=True)
def empty_cache() -> Iterator[None]:
    """Start each test without counted requests."""
    cache.clear()
    throttling._CacheHealth.failed_at = throttling._CacheHealth.logged_at = None
    yield
    cache.clear()
    throttling._CacheHealth.failed_at = throttling._CacheHealth.logged_at = None


@pytest.fixture
def user(db: None) -> User:
    made: User = UserFactory()
    return made


@pytest.fixture
def anonymous() -> APIClient:
    """Return an anonymous client with CSRF checks, as for a browser."""
    return APIClient(enforce_csrf_checks=True)


@pytest.fixture
def client(user: User) -> APIClient:
    """The user, with a token."""
    return client_of(user)


def client_of(user: User, *, name: str = "test") -> APIClient:
    _token, secret = ApiToken.objects.create(user=user, name=name, expiry=None)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {secret}")
    return client
