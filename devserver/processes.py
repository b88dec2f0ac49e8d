"""The processes of the dev server: how each is started, and how its readiness is checked."""

import http.client
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from devserver import launch
from devserver.installation import HOST, REPOSITORY, Installation
from devserver.launch import ProcessId
from devserver.postgres import Postgres
from devserver.valkey import Valkey
from portal.service_urls import add_password

# The workers by name, with the arguments that distinguish them.
WORKERS = {
    "worker": "-Q jobs,polling -c 4",
    # In production, the pools have a worker of their own. Here it would take 150 MB to do little.
    "worker-sync": "-Q sync,resources,volumepool -c 2",
    "worker-deploy": "-Q deploys -c 4",
}


def list_portal_programs(portal_port: int) -> dict[str, list[str | Path]]:
    """Return the portal's own programs by name: the arguments of Python for each."""
    # Paths are separate arguments, because they may contain spaces.
    config = REPOSITORY / "portal" / "gunicorn_config.py"
    workers: dict[str, list[str | Path]] = {
        name: [
            *f"-m celery -A portal worker -n {name}@%h {arguments} --without-gossip --without-mingle".split()
        ]
        for name, arguments in WORKERS.items()
    }
    return {
        "web": [*f"-m gunicorn -b {HOST}:{portal_port} -c".split(), config],
        **workers,
        # No pid file, because it would remain after a SIGKILL and prevent the next start of beat.
        "beat": ["-m", "celery", "-A", "portal", "beat", "--pidfile="],
    }


@dataclass
class ManagedProcess:
    """A long-running process with its children."""

    name: str
    start: Callable[[], "subprocess.Popen[bytes]"] = field(repr=False)
    is_ready: Callable[[], bool] = field(repr=False)
    port: int | None = None
    # The signal that ends it, and the time that it may take.
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10
    process: "subprocess.Popen[bytes] | None" = None
    id: ProcessId | None = None
    started_at: float = 0.0
    ready: bool = False
    # The number of successive failures, and the time of the next restart.
    failures: int = 0
    restart_at: float | None = None


def build_servers(installation: Installation) -> list[ManagedProcess]:
    """Return the processes of the database, the broker and the simulator that are started here."""
    parts = []
    if installation.valkey_port is not None:
        valkey = Valkey(
            folder=installation.data / "valkey",
            port=installation.valkey_port,
            password=installation.secret("BROKER_PASSWORD"),
            log=installation.log("valkey"),
        )
        parts.append(ManagedProcess("valkey", valkey.start, valkey.is_ready, port=valkey.port))
    if installation.simulator_port is not None:
        port = installation.simulator_port
        parts.append(
            ManagedProcess(
                "simulator",
                _python_starter(
                    installation,
                    "simulator",
                    [
                        *f"-m simulator --host {HOST} --port {port} --data-file".split(),
                        installation.data / "simulator.json",
                    ],
                ),
                lambda: _is_listening(port),
                port=port,
            )
        )
    if installation.postgres_port is not None:
        # Last, because creating its folder takes almost a second, during which the other two start.
        postgres = Postgres(
            folder=installation.data / "postgres",
            port=installation.postgres_port,
            password=installation.secret("DATABASE_PASSWORD"),
            log=installation.log("postgres"),
        )

        def start_postgres() -> "subprocess.Popen[bytes]":
            postgres.prepare()
            return postgres.start()

        # SIGINT is the "fast" shutdown; SIGTERM would wait until every client has gone.
        parts.append(
            ManagedProcess(
                "postgres",
                start_postgres,
                postgres.is_ready,
                port=postgres.port,
                stop_signal=signal.SIGINT,
                stop_seconds=20,
            )
        )
    return parts


def list_preparations() -> list[tuple[str, list[str]]]:
    """Return the commands that run between the starts of servers and portal: titles, and arguments of `manage.py`."""
    return [
        ("migrate", ["migrate", "--no-input", "--verbosity=0"]),
        ("schedules", ["write_schedules"]),
        ("demo data", ["demo_data"]),
        ("volume pools", ["write_volume_pools"]),
    ]


def build_portal_processes(installation: Installation) -> list[ManagedProcess]:
    """Return the portal's own processes."""
    programs = list_portal_programs(installation.portal_port)
    web = _python_starter(
        installation,
        "web",
        programs["web"],
        when_parent_dies=signal.SIGQUIT,
    )
    parts = [
        ManagedProcess(
            "web", web, lambda: check_health(installation) == "ready", port=installation.portal_port
        )
    ]
    environment = installation.environment
    broker = "RABBITMQ" if environment.get("RABBITMQ_URL") else "REDIS"
    worker_ping = WorkerPing(
        add_password(environment[f"{broker}_URL"], environment.get(f"{broker}_PASSWORD", ""))
    )
    for name in WORKERS:
        start = _python_starter(
            installation,
            name,
            programs[name],
            # SIGKILL, because an orderly shutdown would wait for the broker, which has ended, too. Its children end when
            # they lose their parent, and the engine recovers their jobs.
            when_parent_dies=signal.SIGKILL,
        )
        parts.append(ManagedProcess(name, start, lambda name=name: worker_ping.has_answered(name)))  # type: ignore[misc]
    beat = _python_starter(installation, "beat", programs["beat"])
    # Beat cannot be pinged, so it counts as ready when all other processes are.
    others = tuple(parts)
    parts.append(ManagedProcess("beat", beat, lambda: all(part.ready for part in others)))
    return parts


class WorkerPing:
    """A client that pings the workers over the broker."""

    def __init__(self, broker: str) -> None:
        # Here, because its import takes half of the time of every command that needs no worker.
        from celery import Celery  # noqa: PLC0415

        self._app = Celery("worker-ping", broker=broker)
        self._answered: set[str] = set()

    def has_answered(self, worker: str) -> bool:
        """Return whether this worker of this machine answers."""
        name = f"{worker}@{socket.gethostname()}"
        if name not in self._answered:
            try:
                for answer in self._app.control.ping(timeout=0.2) or []:
                    self._answered.update(answer)
            except OSError:
                return False
        return name in self._answered


def check_health(installation: Installation) -> str:
    """Return "ready", or a sentence with the answer of `/health/serving`.

    It does not use urllib, which would send the request to a proxy that the environment names.
    """
    connection = http.client.HTTPConnection(HOST, installation.portal_port, timeout=5)
    try:
        connection.request("GET", "/health/serving")
        answer = connection.getresponse()
        body = answer.read(2000).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return f"{installation.address}/health/serving does not answer ({error})."
    finally:
        connection.close()
    if answer.status == 200:
        return "ready"
    return f"{installation.address}/health/serving answers {answer.status}: {body.strip()}"


def _python_starter(
    installation: Installation,
    name: str,
    arguments: Sequence[str | Path],
    *,
    when_parent_dies: signal.Signals = signal.SIGTERM,
) -> Callable[[], "subprocess.Popen[bytes]"]:
    def start() -> "subprocess.Popen[bytes]":
        return launch.start(
            [sys.executable, *arguments],
            log=installation.log(name),
            environment=installation.environment,
            folder=REPOSITORY,
            when_parent_dies=when_parent_dies,
        )

    return start


def _is_listening(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
