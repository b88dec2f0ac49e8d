"""One development installation under test: started, asked and killed as a person would."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg2

from devserver import launch
from tests.servers import free_ports

REPOSITORY = Path(__file__).resolve().parents[2]
# `python -m devserver` with other parts in the place of the portal's own: programs for `sh`, by name. One that begins
# with "wait" is not ready before it makes a file `<name>.ready` in the data folder.
DRIVER = """
import os, sys
from pathlib import Path
from devserver import __main__, launch, processes

def build_processes(installation):
    programs = [line.split("=", 1) for line in os.environ.get("TEST_PARTS", "").splitlines()]
    return [
        processes.ManagedProcess(name, lambda name=name, program=program: launch.start(
            ["sh", "-c", program], log=installation.log(name), environment=installation.environment
        ), (installation.data / f"{name}.ready").exists if program.startswith("wait") else lambda: True)
        for name, program in programs
    ]

processes.list_preparations = lambda: []
processes.build_portal_processes = build_processes
sys.exit(__main__.main())
"""


class Machine:
    """One development installation under test, and everything that was started in it."""

    def __init__(self, data: Path, *, prefix: tuple[str, ...] = (), python: str = sys.executable) -> None:
        self.data = data
        self.python = [*prefix, python]
        names = ("PORTAL_PORT", "SIMULATOR_PORT", "POSTGRES_PORT", "VALKEY_PORT")
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        unwanted = {"DATABASE_URL", "REDIS_URL", "OS_CLOUD", "PORTAL_ENV", "MAKELEVEL", "SECRET_KEY"}
        self.environment = {name: value for name, value in os.environ.items() if name not in unwanted}
        self.environment |= {name: str(port) for name, port in self.ports.items()}
        self.environment |= {
            "PORTAL_DATA": str(data),
            "PYTHONPATH": os.pathsep.join(
                [str(REPOSITORY), *(p for p in sys.path if p.endswith("site-packages"))]
            ),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.supervisors: list[subprocess.Popen[str]] = []

    def call(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(
            [*self.python, "-c", DRIVER, *arguments],
            env={**self.environment, **environment},
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def up(self, **environment: str) -> subprocess.Popen[str]:
        """Start in the foreground, and return when all is ready."""
        supervisor = subprocess.Popen(
            [*self.python, "-c", DRIVER, "up"],
            env={**self.environment, **environment},
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.supervisors.append(supervisor)
        said = self.read_until(supervisor, "stop with Ctrl-C")
        assert "The portal is up" in said, said
        return supervisor

    @staticmethod
    def read_until(supervisor: subprocess.Popen[str], words: str) -> str:
        said = ""
        for line in supervisor.stdout:
            said += line
            if words in line:
                break
        return said

    def everything(self) -> list[launch.ProcessId]:
        """The processes that run.json names, with all their descendants."""
        record = json.loads((self.data / "run.json").read_text())
        return [process for entry in record.values() for process in launch.process_tree(entry["pid"])]

    def pid(self, part: str) -> int:
        return json.loads((self.data / "run.json").read_text())[part]["pid"]

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        lines = (self.data / "secrets.env").read_text().splitlines()
        password = dict(line.split("=", 1) for line in lines if "=" in line)["DATABASE_PASSWORD"]
        connection = psycopg2.connect(
            host="127.0.0.1",
            port=self.ports["POSTGRES_PORT"],
            user="portal",
            password=password,
            dbname="portal",
        )
        with contextlib.closing(connection), connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def clean_up(self) -> None:
        self._down()
        for supervisor in self.supervisors:
            supervisor.kill()
            supervisor.wait()
            supervisor.stdout.close()
        self._down()

    def _down(self) -> None:
        # Without this record there is nothing to end, and only to ask takes half a second.
        if (self.data / "run.json").exists():
            self.call("down")


def stop(supervisor: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> None:
    supervisor.send_signal(number)
    assert supervisor.wait(30) == 0


def assert_gone(processes: list[launch.ProcessId], *, seconds: float = 5) -> None:
    assert len(processes) > 5
    assert launch.wait_until_gone(processes, seconds=seconds), [p for p in processes if p.alive]
