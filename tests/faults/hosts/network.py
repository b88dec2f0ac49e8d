"""The network between the hosts as the campaign sees it: its router is a process, and faults are rules for that."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from devserver.launch import DIE_WITH_PARENT
from tests.faults.framework.servers import REPOSITORY

from .namespaces import Host
from .router import Rule


class Network:
    """The router between hosts, and the rules that are in force."""

    def __init__(self, hosts: Mapping[str, Host], *, seed: int, log: Path) -> None:
        self.hosts = hosts
        own, others = socket.socketpair()
        descriptors = [others.fileno(), *(host.device for host in hosts.values())]
        devices = [f"{host.number}={host.device}" for host in hosts.values()]
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    *("-I", "-S", str(DIE_WITH_PARENT)),
                    *("--parent", str(os.getpid()), "--signal", str(int(signal.SIGKILL)), "--"),
                    *(sys.executable, "-m", "tests.faults.hosts.router"),
                    *("--commands", str(others.fileno()), "--seed", str(seed), *devices),
                ],
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=descriptors,
                start_new_session=True,
            )
        others.close()
        self._commands = own
        self._lines = own.makefile("rw")
        self.set_rules()

    def set_rules(self, *rules: Rule) -> int:
        """Replace all rules, wait until they are in force, and return how many packets the old ones have struck."""
        self._lines.write(json.dumps([asdict(rule) for rule in rules]) + "\n")
        self._lines.flush()
        answer = self._lines.readline()
        if not answer:
            raise RuntimeError("The router of the network has ended; its log has the reason.")
        return int(answer)

    def make_rules(
        self,
        source: str,
        targets: Iterable[str],
        *,
        ways: Sequence[str] = ("there", "back"),
        **options: float,
    ) -> list[Rule]:
        """Return the rules between a host and others, for one way or both."""
        start = self.hosts[source].number
        rules = []
        for target in targets:
            end = self.hosts[target].number
            if "there" in ways:
                rules.append(Rule(start, end, **options))  # type: ignore[arg-type] # The options of `Rule`.
            if "back" in ways:
                rules.append(Rule(end, start, **options))  # type: ignore[arg-type]
        return rules

    def stop(self) -> None:
        """End the router; the hosts disappear with the processes on them."""
        self._lines.close()
        self._commands.close()
        self.process.kill()
        self.process.wait()
        for host in self.hosts.values():
            for descriptor in (host.device, host.network_namespace, host.name_namespace):
                os.close(descriptor)
