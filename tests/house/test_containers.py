"""Containers, deployment pages and `.env.example` name only what exists; no Docker is needed to know that."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from django.urls import resolve

from portal.celery import app

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
    "PORTAL_CRASH_AT",  # Tests arm a crash with it.
    "XDG_RUNTIME_DIR",  # Of the hosts that are deployed to.
}


def names_in_env_example() -> set[str]:
    return set(
        re.findall(r"^(?:# )?([A-Z][A-Z_]+)=", (REPOSITORY / ".env.example").read_text(), re.MULTILINE)
    )


def names_read_by_settings() -> set[str]:
    text = (REPOSITORY / "portal/settings.py").read_text()
    return set(re.findall(r"""(?:\benv(?:\.\w+)?|required_in_production)\(\s*["']([A-Z][A-Z_]+)["']""", text))


def python_files() -> list[Path]:
    rooms = (
        "portal",
        "deploys",
        "vms",
        "volumepool",
        "cloudaccounts",
        "tenants",
        "tasks",
        "openstack_client",
        "security",
    )
    return [path for room in rooms for path in (REPOSITORY / room).rglob("*.py")]


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


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_service_runs_a_program_that_exists(name):
    words = OURS[name]["command"]
    calls = [call.split() for call in words[2].split("&&")] if words[0] == "sh" else [words]
    for call in calls:
        if call[0] == "python":
            assert (REPOSITORY / call[1]).is_file()
            known = subprocess.run(
                [sys.executable, call[1], "help", "--commands"],
                cwd=REPOSITORY,
                capture_output=True,
                check=True,
                text=True,
            )
            assert call[2] in known.stdout.split()
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
    assert {"SECRET_KEY", "ENCRYPTION_KEYS", "ALLOWED_HOSTS", "DATABASE_URL", "REDIS_URL"} <= given
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
    assert set(re.findall(r"worker(?:-\w+)?@", text)) == {f"{name}@" for name in QUEUES}
