"""The containers of docker-compose.yml, started by `crun` from the image."""

from __future__ import annotations

import json
import re
import secrets
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from devserver import launch
from devserver.postgres import Postgres
from devserver.valkey import Valkey
from tests.bare_debian import REPOSITORY

from .client import ADMINISTRATOR, SIMULATOR_PORT, Client, start_vm
from .image import Image
from .steps import SECONDS_TO_START, report, wait_until

PASSWORD = secrets.token_urlsafe(24)
SETTINGS = {
    "SECRET_KEY": secrets.token_urlsafe(64),
    # 32 bytes in base64, as Fernet takes them.
    "ENCRYPTION_KEYS": secrets.token_urlsafe(32) + "=",
    "ALLOWED_HOSTS": "portal.example.org",
    "POSTGRES_PASSWORD": PASSWORD,
    "REDIS_PASSWORD": PASSWORD,
    "ALLOW_LOCAL_CLOUDS": "on",
    # No proxy stands in front here.
    "SECURE_SSL_REDIRECT": "off",
    "TRUSTED_PROXY_COUNT": "0",
}
HOSTS = "127.0.0.1 localhost postgres redis portal.example.org\n"


class Pod:
    """The containers of docker-compose.yml, beside a database, a broker and a cloud."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.image = Image(folder)
        self.root = self.image.mount()
        self.configuration = self.image.read_configuration()
        self.services: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())[
            "services"
        ]
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def try_out(self) -> None:
        """Start everything, create and stop a VM over REST, and check every container's health. Exits when a step fails."""
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        # crun starts nothing where it sees both versions of control groups, even if it is to use none.
        subprocess.run(["mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"], check=True)
        # Of an earlier run that was killed.
        shutil.rmtree(self.folder / "crun", ignore_errors=True)
        self.start_servers()
        self.start("migrate")
        if self.running["migrate"].wait(SECONDS_TO_START) != 0:
            self.fail("migrate")
        report("migrate has ended")
        lasting = [
            n for n, service in self.services.items() if service["image"] == "portal" and n != "migrate"
        ]
        for name in lasting:
            self.start(name)
        client = Client()
        wait_until("web", client.answers)
        report("web answers")
        self.create_administrator()
        client.sign_in()
        start_vm(client)
        for name in lasting:
            kind, *words = self.services[name]["healthcheck"].get("test", ["NONE"])
            words = [word.replace("$$", "$") for word in words]
            if kind != "NONE":
                self.execute(name, ["sh", "-c", *words] if kind == "CMD-SHELL" else words, {})
            if self.running[name].poll() is not None:
                self.fail(name)
        report("every container runs, and those with a check are healthy")

    def create_administrator(self) -> None:
        """Create a platform administrator, and a tenant of which he is a member: no API does this."""
        create = ["python", "manage.py", "createsuperuser", "--no-input", "--email", "admin@example.org"]
        self.execute("web", create, {f"DJANGO_SUPERUSER_{k.upper()}": v for k, v in ADMINISTRATOR.items()})
        member = (
            "user=User.objects.get(), tenant=Tenant.objects.create(name='Acme', slug='acme'), role='admin'"
        )
        program = f"from tenants.models import *; Membership.objects.create({member})"
        self.execute("web", ["python", "manage.py", "shell", "-c", program], {})

    def start_servers(self) -> None:
        """Start PostgreSQL, a broker and the simulator, where the compose file expects them."""
        postgres = Postgres(
            folder=self.folder / "postgres", port=5432, password=PASSWORD, log=self.folder / "postgres.log"
        )
        shutil.rmtree(postgres.folder, ignore_errors=True)
        postgres.prepare()
        postgres.start()
        broker = Valkey(
            folder=self.folder / "valkey", port=6379, password=PASSWORD, log=self.folder / "valkey.log"
        )
        broker.start()
        launch.start(
            [sys.executable, "-m", "simulator", "--host", "127.0.0.1", "--port", str(SIMULATOR_PORT)],
            log=self.folder / "simulator.log",
            folder=REPOSITORY,
        )
        wait_until("postgres", postgres.is_ready)
        wait_until("valkey", broker.is_ready)

    def start(self, name: str) -> None:
        """Start a service of the compose file as a container."""
        service = self.services[name]
        bundle = self.folder / "bundles" / name
        bundle.mkdir(parents=True, exist_ok=True)
        (bundle / "hosts").write_text(HOSTS)
        (bundle / "config.json").write_text(json.dumps(self.build_specification(name, service, bundle)))
        with (self.folder / f"{name}.log").open("wb") as log:
            command = [*self.crun, "run", f"--bundle={bundle}", f"portal-{name}"]
            self.running[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def crun(self) -> list[str]:
        return ["crun", f"--root={self.folder / 'crun'}", "--cgroup-manager=disabled"]

    def build_specification(self, name: str, service: dict[str, Any], bundle: Path) -> dict[str, Any]:
        """Return what crun is told of a service (the runtime specification of the Open Container Initiative)."""
        user = str(self.configuration["User"])
        passwd = (self.root / "etc/passwd").read_text()
        (group,) = re.findall(rf"^[^:]*:[^:]*:{user}:(\d+):", passwd, re.MULTILINE)
        environment = {key: fill_in(str(value)) for key, value in service["environment"].items()}
        of_file = {key: SETTINGS[key] for key in ("ALLOW_LOCAL_CLOUDS",)}
        temporary = ["nosuid", "nodev", "mode=1777"]
        return {
            "ociVersion": "1.0.2",
            "hostname": name,
            "process": {
                "user": {"uid": int(user), "gid": int(group)},
                "args": service["command"],
                "env": [
                    *self.configuration["Env"],
                    *(f"{key}={value}" for key, value in (of_file | environment).items()),
                ],
                "cwd": self.configuration["WorkingDir"],
                # None at all, as `cap_drop: [ALL]` has it.
                "capabilities": {},
                "noNewPrivileges": "no-new-privileges:true" in service["security_opt"],
            },
            "root": {"path": str(self.root), "readonly": service["read_only"]},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {
                    "destination": "/dev",
                    "type": "tmpfs",
                    "source": "tmpfs",
                    "options": ["nosuid", "mode=755"],
                },
                {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": temporary},
                *(
                    {"destination": place, "type": "tmpfs", "source": "tmpfs", "options": temporary}
                    for place in service["tmpfs"]
                ),
                {
                    "destination": "/etc/hosts",
                    "type": "bind",
                    "source": str(bundle / "hosts"),
                    "options": ["bind", "ro"],
                },
            ],
            "linux": {"namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]},
        }

    def execute(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        """Run a program in a container, with more variables. Exits when it fails."""
        bundle = self.folder / "bundles" / name
        process = json.loads((bundle / "config.json").read_text())["process"]
        process |= {
            "args": command,
            "env": [*process["env"], *(f"{key}={value}" for key, value in environment.items())],
        }
        (bundle / "process.json").write_text(json.dumps(process))
        program = [*self.crun, "exec", f"--process={bundle / 'process.json'}", f"portal-{name}"]
        result = subprocess.run(program, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            sys.exit(f"{shlex.join(command)} in {name} failed:\n{result.stdout}{result.stderr}")

    def fail(self, name: str) -> None:
        log = self.folder / f"{name}.log"
        sys.exit(f"The container {name} ended. {log}:\n{log.read_text()[-3000:]}")


def fill_in(value: str) -> str:
    """Fill variables in as Compose does: `${NAME}`, `${NAME:-default}`, `${NAME:?message}`."""
    return re.sub(
        r"\$\{(\w+)(?::-([^}]*)|:\?[^}]*)?\}", lambda found: SETTINGS.get(found[1]) or found[2] or "", value
    )
