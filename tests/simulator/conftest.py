"""Fixtures of the simulator, which is reset before every test."""

import pytest
import requests

import simulator
from openstack_client import Cloud, CloudCredentials


class Control:
    """The simulator's control API."""

    def __init__(self, server):
        self.server = server
        self.session = requests.Session()

    def __call__(self, method, path, body=None):
        answer = self.session.request(method, f"{self.server.url}/_control/{path}", json=body, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def actions(self):
        return self("GET", "requests")["counts"]["actions"]


@pytest.fixture(scope="session")
def _server():
    with simulator.start() as server:
        yield server


@pytest.fixture
def control(_server):
    found = Control(_server)
    found("POST", "reset", {"seed": 7})
    found("POST", "clock", {"build_seconds": 0, "action_seconds": 0, "volume_seconds": 0})
    yield found
    found("DELETE", "faults")
    found.session.close()


@pytest.fixture
def credentials(control):
    return CloudCredentials(
        auth_url=control.server.auth_url, username="demo", password="demo", project_name="demo"
    )


@pytest.fixture
def cloud(credentials):
    """A client with the usual timeouts: that a busy machine pauses for a second is no fault."""
    with Cloud(credentials) as opened:
        opened.check()
        yield opened


@pytest.fixture
def server_id(control):
    return control("POST", "seed", {"project": "demo", "servers": 1})["servers"][0]
