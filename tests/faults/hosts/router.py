"""The network between the hosts: a process that moves IP packets between their network cards, and delays or loses them.

The kernel here has no `sch_netem`, so a program does it. TCP is the kernel's own at both ends: it retransmits, backs off and
gives up as between machines.

Run as a program: `python -m tests.faults.hosts.router --commands FD --seed N NUMBER=FD ...`. A command is a line of JSON, a list
of rules that replaces the one before; the answer is a line with the number of packets that the old rules had struck.
It imports nothing of the portal, and is the only process that every packet passes, so its loop does little for each.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
import select
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MAX_PACKET = 65535
# Packets are read from one card before another one has its turn.
PACKETS_PER_TURN = 64
TCP = 6


@dataclass(frozen=True, slots=True)
class Rule:
    """The state of the way from one host to another: packets are delayed, and a share of them is lost.

    With a port, it applies only to TCP packets from or to that port.
    """

    source: int
    target: int
    port: int | None = None
    loss: float = 0.0
    delay_seconds: float = 0.0

    def applies_to(self, packet: bytes) -> bool:
        """Return whether the rule is for this packet, whose hosts match already."""
        if self.port is None:
            return True
        header = (packet[0] & 0x0F) * 4
        if packet[9] != TCP or len(packet) < header + 4:
            return False
        ports = (int.from_bytes(packet[header + at : header + at + 2], "big") for at in (0, 2))
        return self.port in ports


@dataclass
class Router:
    """Moves packets. `devices` has the network card of each host by its number."""

    devices: Mapping[int, int]
    dice: random.Random
    rules: dict[tuple[int, int], list[Rule]] = field(default_factory=dict)
    struck: int = 0
    # (when it is due, a number that keeps the order, the card, the packet)
    _delayed: list[tuple[float, int, int, bytes]] = field(default_factory=list)
    _count: int = 0

    def set_rules(self, rules: Sequence[Mapping[str, Any]]) -> int:
        """Replace the rules, and return how many packets the old ones have struck."""
        struck, self.struck = self.struck, 0
        self.rules = {}
        for options in rules:
            rule = Rule(**options)
            self.rules.setdefault((rule.source, rule.target), []).append(rule)
        return struck

    def route(self, source: int, packet: bytes, now: float) -> None:
        """Send a packet on, delay it or lose it."""
        if len(packet) < 20 or packet[0] >> 4 != 4:
            return  # IPv6, which no host here uses.
        device = self.devices.get(packet[19])
        if device is None:
            return
        for rule in self.rules.get((source, packet[19]), ()):
            if not rule.applies_to(packet):
                continue
            self.struck += 1
            if rule.loss and self.dice.random() < rule.loss:
                return
            if rule.delay_seconds:
                self._count += 1
                heapq.heappush(self._delayed, (now + rule.delay_seconds, self._count, device, packet))
                return
            break
        _write(device, packet)

    def send_due(self, now: float) -> float:
        """Send the delayed packets whose time has come, and return the seconds until the next one, or -1."""
        while self._delayed and self._delayed[0][0] <= now:
            _due, _number, device, packet = heapq.heappop(self._delayed)
            _write(device, packet)
        return max(0.0, self._delayed[0][0] - now) if self._delayed else -1

    def run(self, commands: socket.socket) -> None:
        """Route until the other end of `commands` is closed."""
        poll = select.epoll()
        poll.register(commands, select.EPOLLIN)
        numbers = {device: number for number, device in self.devices.items()}
        for device in numbers:
            poll.register(device, select.EPOLLIN)
        lines = commands.makefile("rw")
        while True:
            timeout = self.send_due(time.monotonic())
            for descriptor, _event in poll.poll(timeout):
                if descriptor != commands.fileno():
                    self._read(numbers[descriptor], descriptor)
                    continue
                line = lines.readline()
                if not line:
                    return
                lines.write(f"{self.set_rules(json.loads(line))}\n")
                lines.flush()

    def _read(self, number: int, device: int) -> None:
        now = time.monotonic()
        for _ in range(PACKETS_PER_TURN):
            try:
                packet = os.read(device, MAX_PACKET)
            except BlockingIOError:
                return
            self.route(number, packet, now)


def _write(device: int, packet: bytes) -> None:
    try:
        os.write(device, packet)
    except OSError:
        return  # The queue of the card is full: the packet is lost, as on a real network.


def main() -> None:
    """Route between the cards that were inherited."""
    parser = argparse.ArgumentParser(prog="router")
    parser.add_argument("--commands", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("devices", nargs="+")
    options = parser.parse_args()
    pairs = (device.split("=") for device in options.devices)
    devices = {int(number): int(descriptor) for number, descriptor in pairs}
    with socket.socket(fileno=options.commands) as commands:
        Router(devices, random.Random(options.seed)).run(commands)


if __name__ == "__main__":
    main()
