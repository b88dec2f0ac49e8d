"""Secrets with unmistakable values, and the search for them in everything that is stored, logged or answered.

A secret is found in plain text and in the forms that it gets on its way: as JSON, in a URL, as hexadecimal digits, and as
base64, in which Celery's messages are.
"""

from __future__ import annotations

import base64
import io
import json
import re
import secrets
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2
import redis
import requests
from cryptography.fernet import Fernet

from devserver import launch
from tests.faults.framework.processes import Processes
from tests.faults.framework.report import Invariant
from tests.faults.framework.servers import Servers

# Tokens of the simulated cloud are random, but have a form that nothing else has.
CLOUD_TOKEN = re.compile(rb"gAAAAA[0-9a-f]{96}")
VALKEY_PAUSE_SECONDS = 1.0
# What is no secret and must be found in each place: a search that does not find it would find no secret either.
CONTROLS = {
    "logs": b"storm-p0-",  # The ids of the users' requests.
    "database": b"storm-p0-",
    "Valkey": b"portal",
    "command lines": b"celery",
    "answers": b"storm-p0-",
}


def plant_environment() -> dict[str, str]:
    """Return the secrets of the portal's settings, with values of this run."""
    return {
        "SECRET_KEY": f"canary-secret-key-{secrets.token_hex(24)}",
        "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "METRICS_TOKEN": f"canary-metrics-token-{secrets.token_hex(8)}",
    }


def list_forms(value: str) -> set[bytes]:
    """Return the forms in which a secret may be written."""
    plain = value.encode()
    forms = {plain, json.dumps(value)[1:-1].encode(), quote(value, safe="").encode(), plain.hex().encode()}
    for padding in range(3):
        # The digits at both ends depend on the neighbors, so they are cut off.
        encoded = base64.b64encode(b"\0" * padding + plain)
        forms |= {encoded[4 if padding else 0 : -4], encoded[4 if padding else 0 : -4].translate(_URL_SAFE)}
    return forms


_URL_SAFE = bytes.maketrans(b"+/", b"-_")


@dataclass
class PlantedSecrets:
    """The secrets of a campaign by name."""

    values: dict[str, str] = field(default_factory=dict)
    _forms: dict[str, set[bytes]] = field(default_factory=dict)

    def add(self, name: str, value: str) -> str:
        """Remember a secret, and return it."""
        if len(value) < 12:
            raise ValueError(f"'{value}' is too short to be unmistakable; plant a longer secret.")
        self.values[name] = value
        self._forms[name] = list_forms(value)
        return value

    def add_all(self, values: Mapping[str, str]) -> None:
        """Remember several secrets."""
        for name, value in values.items():
            self.add(name, value)

    def find(self, content: bytes) -> list[str]:
        """Return the names of the secrets in a text."""
        found = [name for name, forms in list(self._forms.items()) if any(form in content for form in forms)]
        return [*found, *(["a token of the cloud"] if CLOUD_TOKEN.search(content) else [])]


@dataclass
class SecretSearch:
    """The result of a search: its places, their size, and the places in which a secret was found."""

    planted: PlantedSecrets
    leaks: Counter[str] = field(default_factory=Counter)
    searched: Counter[str] = field(default_factory=Counter)
    controls_found: Counter[str] = field(default_factory=Counter)

    def find_in_answer(self, content: bytes) -> list[str]:
        """Return the names of the secrets in the answer to a request."""
        self._record("answers", content)
        return self.planted.find(content)

    def search(self, place: str, detail: str, content: bytes) -> None:
        """Search a text."""
        self._record(place, content)
        self.leaks.update(f"{secret} in {place}: {detail}" for secret in self.planted.find(content))

    def _record(self, place: str, content: bytes) -> None:
        self.searched[place] += len(content)
        self.controls_found[place] += CONTROLS[place] in content

    def search_logs(self, folder: Path) -> None:
        """Search the logs of all processes."""
        for log in sorted(folder.glob("*.log")):
            self.search("logs", log.name, log.read_bytes())

    def search_database(self, url: str) -> None:
        """Search all rows of all tables. Encrypted columns are no exception: their plain text is not in them."""
        with psycopg2.connect(url) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
            )
            for (table,) in cursor.fetchall():
                rows = io.BytesIO()
                cursor.copy_expert(f'COPY "{table}" TO STDOUT', rows)
                self.search("database", table, rows.getvalue())
        connection.close()

    def search_command_lines(self, processes: Processes) -> None:
        """Search the command lines of the portal's processes, which every user of the machine can read."""
        for name, program in processes.programs.items():
            for process in launch.process_tree(program.process.pid):
                try:
                    line = (Path("/proc") / str(process.pid) / "cmdline").read_bytes()
                except OSError:
                    continue
                self.search("command lines", name, line)

    def check(self) -> Invariant:
        """Return the invariant. A place in which not even its control was found counts as a violation."""
        wrong = [f"{what}, {count} times" for what, count in sorted(self.leaks.items())]
        wrong += [
            f"the search of {place} did not find '{control.decode()}', which is there"
            for place, control in CONTROLS.items()
            if not self.controls_found[place]
        ]
        return Invariant("no planted secret is stored, logged or answered", wrong, len(self.planted.values))


class ValkeyReader(threading.Thread):
    """Searches Valkey all the time, because its messages are soon gone."""

    def __init__(self, servers: Servers, search: SecretSearch, stopping: threading.Event) -> None:
        super().__init__(name="valkey-reader", daemon=True)
        self.servers, self.found, self.stopping = servers, search, stopping

    def run(self) -> None:
        """Search until `stopping` is set."""
        while not self.stopping.wait(VALKEY_PAUSE_SECONDS):
            self.read()

    def read(self) -> None:
        """Search every key and value once. While Valkey is away there is nothing to search."""
        valkey = self.servers.valkey
        try:
            with redis.Redis(port=valkey.port, password=valkey.password, socket_timeout=5) as client:
                for key in client.scan_iter(count=1000):
                    for value in _read_values(client, key):
                        self.found.search("Valkey", key.decode(errors="replace")[:80], key + b"\n" + value)
        except redis.exceptions.RedisError:
            return


def _read_values(client: Any, key: bytes) -> Iterator[bytes]:
    """Yield everything in one key."""
    match client.type(key):
        case b"string":
            yield client.get(key) or b""
        case b"list":
            yield from client.lrange(key, 0, -1)
        case b"set":
            yield from client.smembers(key)
        case b"zset":
            yield from client.zrange(key, 0, -1)
        case b"hash":
            for name, value in client.hgetall(key).items():
                yield name + b"\n" + value
        case b"stream":
            yield repr(client.xrange(key)).encode()


def create_application_credential(cloud_url: str, secret: str) -> str:
    """Create an application credential with this secret in the simulated cloud, and return its id."""
    keystone = f"{cloud_url}/identity/v3"
    user = {"name": "demo", "domain": {"id": "default"}, "password": "demo"}
    scope = {"project": {"name": "demo", "domain": {"id": "default"}}}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
    answer = requests.post(f"{keystone}/auth/tokens", json=body, timeout=20)
    answer.raise_for_status()
    user_id = answer.json()["token"]["user"]["id"]
    created = requests.post(
        f"{keystone}/users/{user_id}/application_credentials",
        json={"application_credential": {"name": "canary", "secret": secret}},
        headers={"X-Auth-Token": answer.headers["X-Subject-Token"]},
        timeout=20,
    )
    created.raise_for_status()
    return str(created.json()["application_credential"]["id"])
