"""Breaking things: one method for each name of a plan's event, and a journal of what was done and what it met."""

from __future__ import annotations

import re
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import psycopg2

from devserver.launch import ProcessId

from .plan import Event, Plan
from .processes import Processes
from .scene import Scene
from .servers import Servers

# How long a kill that is aimed waits for a process that holds a claim.
AIM_SECONDS = 0.6
# How long one that freezes a worker waits for a request that is under way, and how long the worker then sleeps:
# for longer than a lease and the sweep's patience, so that somebody else takes over.
FREEZE_SEEKS_SECONDS = 2.0
FROZEN_SECONDS = 9.0
NOBODY = "nobody"
PAUSE_SECONDS = 0.01
# What may not happen while the cloud holds a request that it will carry out whoever still waits for the answer.
DISTURBING = frozenset({"kill", "freeze", "stop_postgres", "cut_connections"})
OTHER_WORKERS = ("worker-a", "worker-b", "worker-sync")
# A number that no request of the simulator's log has: asks for nothing but what the next one will be.
LOG_END = 10**12
# Half of all actions, and a part of the looks at a server, take this long in the cloud's front door, so that kills
# meet requests that are under way. Much shorter than a lease: whoever takes a job over must find them carried out.
DELAY_SECONDS = 0.3
ACTION = {"method": "POST", "path": "/action$"}
LOOK = {"method": "GET", "path": "/servers/[0-9a-f-]{36}(/os-instance-actions)?$"}
ALWAYS = [
    {"kind": "delay", "seconds": DELAY_SECONDS, "rate": 0.5, **ACTION},
    {"kind": "delay", "seconds": DELAY_SECONDS, "rate": 0.3, **LOOK},
]
SERVER_IN_PATH = re.compile("/servers/([0-9a-f-]{36})(?:/action|/os-instance-actions)?$")


def rules_of(window: str, seconds: float) -> list[dict[str, Any]]:
    """The simulator's fault rules of one window. The first that matches and strikes is the one."""
    return {
        "away": [{"kind": "reset"}],
        # Together 20 %: each later rule is asked only about what the earlier ones let pass.
        "errors": [
            {"kind": "status", "status": 500, "rate": 0.0667},
            {"kind": "status", "status": 503, "rate": 0.0714},
            {"kind": "status", "status": 429, "rate": 0.0769, "headers": {"Retry-After": "1"}},
        ],
        "lost_answers": [
            {"kind": "lose_answer", "rate": 0.25, **ACTION},
            {"kind": "garbage", "rate": 0.05, **ACTION},
            {"kind": "lose_answer", "rate": 0.05},
            {"kind": "garbage", "rate": 0.03, "service": "compute"},
            {"kind": "reset", "rate": 0.03},
        ],
        "slow_reads": [
            {"kind": "delay", "seconds": seconds, "rate": 0.08, "method": "GET", "service": "compute"},
            {"kind": "hang", "seconds": seconds, "rate": 0.05, **ACTION},
        ],
        # Done at the end of the delay, whoever still waits for the answer. A worker that dies meanwhile leaves a
        # request that nobody can take back and that nobody can see: no client of Nova can be exact about that.
        # So the plan keeps everybody alive until these are through.
        "slow_actions": [{"kind": "delay", "seconds": seconds, "times": 3, **ACTION}],
    }[window]


# In which order the windows' rules are asked.
WINDOWS = ("away", "slow_actions", "errors", "lost_answers", "slow_reads")


@dataclass
class Injections:
    """Carries a plan's events out. Called from the main thread alone."""

    plan: Plan
    servers: Servers
    processes: Processes
    scene: Scene
    journal: list[dict[str, Any]] = field(default_factory=list)
    # What the killed processes held when they died, by table.
    claims_broken: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    _windows: dict[str, float] = field(default_factory=dict)
    _asleep: list[tuple[float, ProcessId]] = field(default_factory=list)
    _began: float = 0.0
    _calm_until: float = 0.0

    def begin(self) -> None:
        """The clock of the journal starts."""
        self._began = time.monotonic()
        self._set_rules()

    @property
    def now(self) -> float:
        """Seconds since the load began."""
        return time.monotonic() - self._began

    @property
    def is_calm(self) -> bool:
        """Whether nobody may be disturbed now: see `slow_actions`."""
        return time.monotonic() < self._calm_until

    def carry_out(self, event: Event) -> bool:
        """Do what an event says, and write down what came of it; False when it met nobody and was not done."""
        at = round(self.now, 2)
        met = getattr(self, event.name)(**event.options) or {}
        if met.get("met") == NOBODY:
            return False
        self.journal.append(
            {"at": at, "planned": round(event.at, 2), "name": event.name, **event.options, **met}
        )
        return True

    @property
    def _sleepers(self) -> list[ProcessId]:
        return [sleeper for _until, sleeper in self._asleep]

    def pause(self) -> None:
        """A moment in which the dead are started again, and who has slept long enough wakes. To be called all the time."""
        self.processes.watch()
        time.sleep(PAUSE_SECONDS)
        while self._asleep and self._asleep[0][0] <= time.monotonic():
            self._asleep.pop(0)[1].send(signal.SIGCONT)

    def end(self) -> None:
        """Make everything whole again; what a plan has stopped is started."""
        for sleeper in self._sleepers:
            sleeper.send(signal.SIGCONT)
        self._asleep.clear()
        self._windows.clear()
        self._count_struck()
        self.scene.cloud.no_faults()
        self.scene.cloud.clock(token_seconds=3600.0)
        self.start_valkey()
        self.start_postgres()

    # --- Processes -----------------------------------------------------------------------------------------

    def kill(self, role: str, of: str, pick: float, *, aimed: bool) -> dict[str, str]:
        """kill -9 of a program's main process, or of one of its pool; of another worker's while this one is dead."""
        for name in [of, *(OTHER_WORKERS if of.startswith("worker") else ())]:
            main = self.processes.main(name)
            process_tree = [main] if main and role == "main" else self.processes.children(name)
            # Who sleeps is to wake.
            victims = [process for process in process_tree if process not in self._sleepers]
            if victims:
                break
        else:
            return {"met": NOBODY}
        victim = victims[int(pick * len(victims))]
        if aimed and role == "child":
            victim = self._holder_among(victims) or victim
        self.processes.kill(name, victim)
        held = [table for table, pid in self._owners() if pid == victim.pid]
        self.claims_broken.update(held)
        met = f"{'a process' if role == 'child' else 'the main process'} of {name}"
        return {"met": met, "held": ", ".join(held)}

    def freeze(self, doing: str) -> dict[str, str]:
        """A worker sleeps through its lease: somebody else does its work, and then it wakes and wants to go on.

        "asking": its request is at the cloud's door. It wakes with the answer and wants to record it.
        "looking": an earlier try has come to nothing, or something is to be taken back, and it looks whether it has
        to ask. It wakes with a picture that is old, and wants to ask.
        """
        until = time.monotonic() + FREEZE_SEEKS_SECONDS
        seen = self.scene.cloud.call("GET", "requests", since=LOG_END)["next"]
        method = {"asking": "POST", "looking": "GET"}[doing]
        while time.monotonic() < until and "postgres" in self.servers.running:
            for entry in self.scene.cloud.call("GET", "requests", since=seen)["requests"]:
                waits = entry["fault"] == "delay" and entry["status"] is None and entry["method"] == method
                server = SERVER_IN_PATH.search(entry["path"])
                if not (waits and server and time.time() - entry["time"] < DELAY_SECONDS / 2):
                    continue
                sleeper = self._who_works_on(server[1], before_asking=doing == "looking")
                if sleeper is None:
                    continue
                sleeper.send(signal.SIGSTOP)
                # Otherwise the answer may have come first, and nobody knows what it was about to do.
                if time.time() - entry["time"] < DELAY_SECONDS * 0.9:
                    self._asleep.append((time.monotonic() + FROZEN_SECONDS, sleeper))
                    return {"met": f"a worker that was {doing}"}
                sleeper.send(signal.SIGCONT)
            self.pause()
        return {"met": NOBODY}

    def _who_works_on(self, server: str, *, before_asking: bool) -> ProcessId | None:
        """The process that owns the job on a server; if wanted, only while what it does next is to ask."""
        try:
            rows = self.servers.ask(
                "SELECT job.owner FROM tasks_job AS job JOIN tasks_entitylock AS lock ON lock.job_id = job.id"
                " JOIN vms_virtualmachine AS vm ON lock.key = 'vm:' || vm.id"
                " WHERE vm.openstack_id = %s AND job.owner <> '' AND (NOT %s OR job.status = 'undoing' OR EXISTS"
                " (SELECT 1 FROM tasks_step WHERE job_id = job.id AND name = 'send_request' AND status = 'waiting'))",
                server,
                before_asking,
            )
        except psycopg2.Error:
            return None
        return ProcessId.of(_process_of(str(rows[0][0]))) if rows else None

    def _owners(self) -> list[tuple[str, int]]:
        """Table and process of every claim that stands now; nothing while PostgreSQL is away."""
        query = " UNION ALL ".join(
            f"SELECT '{table}', owner FROM {table} WHERE owner <> '' AND lease_until > statement_timestamp()"
            for table in ("tasks_job", "tasks_pollscope", "vms_syncstate")
        )
        try:
            rows = self.servers.ask(query)
        except psycopg2.Error:
            return []
        return [(str(table), _process_of(str(owner))) for table, owner in rows]

    def _holder_among(self, victims: list[ProcessId]) -> ProcessId | None:
        by_pid = {victim.pid: victim for victim in victims}
        until = time.monotonic() + AIM_SECONDS
        while time.monotonic() < until and "postgres" in self.servers.running:
            for _table, pid in self._owners():
                if pid in by_pid:
                    return by_pid[pid]
            self.pause()
        return None

    # --- Servers -------------------------------------------------------------------------------------------

    def flush_valkey(self) -> None:
        """Every message and every cached token is gone."""
        self.servers.flush_valkey()

    def stop_valkey(self, *, politely: bool) -> None:
        """The broker is away."""
        self.servers.stop_valkey(stop_signal=politely)

    def start_valkey(self) -> None:
        """It is back, and empty."""
        self.servers.start_valkey()

    def stop_postgres(self, mode: str) -> None:
        """The database is away."""
        self.servers.stop_postgres(mode)

    def start_postgres(self) -> None:
        """It is back."""
        self.servers.start_postgres()

    def cut_connections(self) -> dict[str, int]:
        """Every connection to the database ends at once, and the database stays."""
        try:
            rows = self.servers.ask(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        except psycopg2.Error:
            return {"connections": 0}  # The database was away.
        return {"connections": len(rows)}

    # --- The cloud -----------------------------------------------------------------------------------------

    def cloud(self, window: str, *, on: bool, seconds: float = 0.0) -> None:
        """Begin or end one of the windows in which the cloud misbehaves."""
        self._windows.pop(window, None)
        if on:
            self._windows[window] = seconds
            if window == "slow_actions":
                # Until its last request is through, if the window ends now; the plan opens it for four seconds.
                self._calm_until = time.monotonic() + seconds + 10
        self._set_rules()

    def _set_rules(self) -> None:
        self._count_struck()
        rules = [
            rule
            for window in WINDOWS
            if window in self._windows
            for rule in rules_of(window, self._windows[window])
        ]
        self.scene.cloud.no_faults()
        self.scene.cloud.faults(*rules, *ALWAYS)

    def _count_struck(self) -> None:
        """Keep how often the rules struck that are about to be forgotten."""
        for rule in self.scene.cloud.call("GET", "faults")["faults"]:
            kind = f"{rule['kind']} {rule['status']}" if rule["kind"] == "status" else rule["kind"]
            if rule["kind"] in {"delay", "hang"}:
                kind += f" {rule['seconds']:g} s"
            self.struck[kind] += rule["struck"]

    def token_life(self, seconds: float) -> None:
        """New tokens live this long."""
        self.scene.cloud.clock(token_seconds=seconds)

    def revoke_tokens(self) -> dict[str, int]:
        """No token that was ever given is good any more."""
        return dict(self.scene.cloud.call("DELETE", "tokens"))

    def cloud_clock(self, seconds: float) -> None:
        """The cloud's clock jumps."""
        self.scene.cloud.clock(advance_seconds=seconds)

    def meddle(self, bystander: int, change: str) -> None:
        """Somebody else changes or removes a server."""
        server = self.scene.bystanders[bystander].server
        if change == "remove":
            self.scene.cloud.remove(server)
        else:
            now = {
                found["id"]: found["status"] for found in self.scene.cloud.call("GET", "objects")["servers"]
            }[server]
            self.scene.cloud.change(server, status="SHUTOFF" if now == "ACTIVE" else "ACTIVE")


def _process_of(owner: str) -> int:
    """An owner is "<host>:<process>:<random>"."""
    return int(owner.split(":")[1])
