"""An installation of the dev server: its folder, its ports, its secrets, and the environment of its processes."""

import base64
import json
import os
import secrets
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import environ

from devserver.launch import DevServerError
from portal.service_urls import add_password

REPOSITORY = Path(__file__).resolve().parents[1]
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Installation:
    """An installation; a port of None means that the server is not started here."""

    data: Path
    portal_port: int
    simulator_port: int | None
    postgres_port: int | None
    valkey_port: int | None
    demo_password: str
    environment: dict[str, str] = field(repr=False)

    @classmethod
    def from_environment(cls, *, simulator: bool = True) -> "Installation":
        """Read the settings of `make up`, from the environment and from `.env`, which Django reads too."""
        if sys.platform != "linux":
            raise DevServerError(
                "The dev server runs on Linux only. On another system use docker-compose.yml, or a Linux machine."
            )
        if (REPOSITORY / ".env").is_file():
            environ.Env.read_env(str(REPOSITORY / ".env"))
        environment = dict(os.environ)
        # With make's own variables, a `make` that one of the processes runs would act as a sub-make of this one.
        for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKE_TERMOUT", "MAKE_TERMERR"):
            environment.pop(name, None)
        own_cloud = bool(environment.get("OS_CLOUD")) or not simulator
        installation = cls(
            data=Path(os.path.realpath(REPOSITORY / environment.get("PORTAL_DATA", ".data"))),
            portal_port=_port("PORTAL_PORT", 8000),
            simulator_port=None if own_cloud else _port("SIMULATOR_PORT", 5050),
            postgres_port=None if environment.get("DATABASE_URL") else _port("POSTGRES_PORT", 5433),
            valkey_port=None if environment.get("REDIS_URL") else _port("VALKEY_PORT", 6380),
            demo_password=environment.setdefault("DEMO_PASSWORD", "demo"),
            environment=environment,
        )
        # Empty, not absent, so that `demo_data` creates no account for a simulator that does not run.
        environment["SIMULATOR_PORT"] = str(installation.simulator_port or "")
        environment["PYTHONUNBUFFERED"] = "1"
        # A program simulates the deployments of the demo's services without a host.
        demo = {"demo": ["/bin/sh", str(REPOSITORY / "devserver" / "demo_deployment.sh")]}
        environment.setdefault("DEPLOY_PROGRAMS", json.dumps(demo))
        installation._refuse_equal_ports()
        return installation

    @property
    def ports(self) -> dict[str, int]:
        """Return the ports of this installation by the setting that changes them."""
        named = {
            "PORTAL_PORT": self.portal_port,
            "SIMULATOR_PORT": self.simulator_port,
            "POSTGRES_PORT": self.postgres_port,
            "VALKEY_PORT": self.valkey_port,
        }
        return {name: port for name, port in named.items() if port is not None}

    def with_ports(self, ports: Mapping[str, int]) -> "Installation":
        """Return the installation with the ports that it was started with; a missing port is not its own."""
        return replace(
            self,
            portal_port=ports.get("PORTAL_PORT", self.portal_port),
            simulator_port=ports.get("SIMULATOR_PORT"),
            postgres_port=ports.get("POSTGRES_PORT"),
            valkey_port=ports.get("VALKEY_PORT"),
        )

    @property
    def address(self) -> str:
        """Return the portal's address."""
        return f"http://{HOST}:{self.portal_port}"

    def log(self, part: str) -> Path:
        """Return the log file of a process."""
        return self.data / "logs" / f"{part}.log"

    def make_folders(self) -> None:
        """Create the data folder, readable by its owner only."""
        try:
            self.data.mkdir(parents=True, exist_ok=True)
            # When root starts PostgreSQL, it runs as `nobody` and must be able to enter the folder, but not to list it.
            self.data.chmod(0o711 if os.geteuid() == 0 else 0o700)
            (self.data / "logs").mkdir(exist_ok=True)
            (self.data / "logs").chmod(0o700)
        except OSError as error:
            raise DevServerError(
                f"The data folder {self.data} cannot be used: {error.strerror}. "
                "Set PORTAL_DATA to a folder that you may write."
            ) from error

    def secret(self, name: str) -> str:
        """Return a secret of this installation, created once and kept in `secrets.env`.

        So the dev server does not use the development defaults of the settings, which are public.
        """
        path = self.data / "secrets.env"
        if not path.exists():
            makers = {
                "SECRET_KEY": secrets.token_urlsafe(48),
                "ENCRYPTION_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
                "DATABASE_PASSWORD": secrets.token_urlsafe(24),
                "BROKER_PASSWORD": secrets.token_urlsafe(24),
                # Users keep the password with which they were created, also when a later start has another one.
                "DEMO_PASSWORD": self.demo_password,
            }
            # Written to another file and renamed, so that a start that is killed here does not leave incomplete secrets.
            unfinished = path.with_suffix(".unfinished")
            unfinished.unlink(missing_ok=True)
            unfinished.touch(mode=0o600)
            unfinished.write_text(
                "# The secrets of this installation. The cloud passwords in the database cannot be read without them.\n"
                + "".join(f"{key}={value}\n" for key, value in makers.items())
            )
            unfinished.replace(path)
        known = self._known_secrets()
        if name not in known:
            raise DevServerError(
                f"{path} has no {name}. Restore it, or delete the installation's data: make reset."
            )
        return known[name]

    @property
    def password_of_users(self) -> str:
        """Return the password of the demo users: that of the start that created them."""
        return self._known_secrets().get("DEMO_PASSWORD", self.demo_password)

    def _known_secrets(self) -> dict[str, str]:
        path = self.data / "secrets.env"
        lines = path.read_text().splitlines() if path.exists() else []
        return dict(line.split("=", 1) for line in lines if "=" in line and line[0] != "#")

    def complete_environment(self) -> None:
        """Add the secrets and the URLs of the dev server's own servers that the environment does not set."""
        for name in ("SECRET_KEY", "ENCRYPTION_KEYS"):
            if not self.environment.get(name):
                self.environment[name] = self.secret(name)
        if self.postgres_port is not None:
            address = f"postgresql://portal@{HOST}:{self.postgres_port}/portal"
            self.environment["DATABASE_URL"] = add_password(address, self.secret("DATABASE_PASSWORD"))
        if self.valkey_port is not None:
            address = f"redis://{HOST}:{self.valkey_port}/0"
            self.environment["REDIS_URL"] = add_password(address, self.secret("BROKER_PASSWORD"))

    def refuse_used_ports(self) -> None:
        """Raise `DevServerError` when a port is in use. Call it before anything is started."""
        problems = []
        for name, port in self.ports.items():
            with socket.socket() as listener:
                # With this option, closing connections of an earlier run do not matter, but a listener does.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    listener.bind((HOST, port))
                except PermissionError:
                    problems.append(
                        f"Only root may open port {port}. Choose one above 1023: make up {name}={port + 8000}"
                    )
                except OSError:
                    problems.append(
                        f"Port {port} is in use by another program. Stop that program, or choose another port: "
                        f"make up {name}={port + 100 if port < 65000 else port - 100}"
                    )
        if problems:
            raise DevServerError("\n".join(problems))

    def _refuse_equal_ports(self) -> None:
        names_by_port: dict[int, str] = {}
        for name, port in self.ports.items():
            if port in names_by_port:
                raise DevServerError(
                    f"{names_by_port[port]} and {name} are both {port}; give each a port of its own."
                )
            names_by_port[port] = name


def _port(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise DevServerError(f"{name} is '{text}'; it must be a port number from 1 to 65535.")
    return int(text)
