"""The faults of a storm: one method for each name of an event, and a journal of what was injected and what it met."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import psycopg2

from devserver.launch import ProcessId
from tests.faults.framework.processes import Processes
from tests.faults.framework.servers import Servers

from .plan import Event, Plan
from .scene import Scene

# How long an aimed kill waits for a process that owns a job.
AIM_SECONDS = 0.6
# How long a freeze waits for a request that is in progress, and how long the worker is frozen then: for longer than a
# lease and a sweep, so that another worker takes over.
FREEZE_WAIT_SECONDS = 2.0
FROZEN_SECONDS = 9.0
NO_PROCESS = "no process"
PAUSE_SECONDS = 0.01
# What may not happen while the cloud delays a request that it will carry out even if no client waits for the answer.
DISTURBING = frozenset({"kill", "freeze", "stop_postgres", "cut_connections"})
# A number beyond every entry of the simulator's log: the answer has no entries, only the number of the next one.
LOG_END = 10**12
# Half of all actions, and a part of the reads of a server, are delayed this long before the cloud handles them, so that
# kills meet requests in progress. Much shorter than a lease: a worker that takes a job over must find them carried out.
DELAY_SECONDS = 0.3
ACTION = {"method": "POST", "path": "/action$"}
READ = {"method": "GET", "path": "/servers/[0-9a-f-]{36}(/os-instance-actions)?$"}
ALWAYS = [
    {"kind": "delay", "seconds": DELAY_SECONDS, "rate": 0.5, **ACTION},
    {"kind": "delay", "seconds": DELAY_SECONDS, "rate": 0.3, **READ},
]
SERVER_IN_PATH = re.compile("/servers/([0-9a-f-]{36})(?:/action|/os-instance-actions)?$")


def get_fault_rules(window: str, seconds: float) -> list[dict[str, Any]]:
    """Return the simulator's fault rules of one window. The first one that matches and strikes is applied."""
    return {
        "away": [{"kind": "reset"}],
        # Together 20 %: each rule is applied only to requests that the earlier ones let pass.
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
        # Carried out after the delay, even if no client waits for the answer. A worker that dies meanwhile leaves a
        # request that cannot be withdrawn or seen: no client of Nova can be exact about that. So the plan kills no
        # process until these requests are answered.
        "slow_actions": [{"kind": "delay", "seconds": seconds, "times": 3, **ACTION}],
    }[window]


# The order in which the rules of the windows are applied.
WINDOWS = ("away", "slow_actions", "errors", "lost_answers", "slow_reads")


@dataclass
class Injections:
    """Carries the events of a plan out. Call the methods from the main thread alone."""

    plan: Plan
    servers: Servers
    processes: Processes
    scene: Scene
    journal: list[dict[str, Any]] = field(default_factory=list)
    # The claims that killed processes held, by table.
    claims_broken: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    _windows: dict[str, float] = field(default_factory=dict)
    # Held while connections to PostgreSQL are broken. A load in this process holds it during each of its requests, because
    # nobody could tell it whether the transaction that it lost was committed.
    database_gate: threading.Lock = field(default_factory=threading.Lock)
    _began: float = 0.0
    _calm_until: float = 0.0
    _disturbed_at: float = field(default_factory=time.monotonic)

    def begin(self) -> None:
        """Start the clock of the journal."""
        self._began = time.monotonic()
        self._set_rules()

    @property
    def now(self) -> float:
        """Return the seconds since the load began."""
        return time.monotonic() - self._began

    @property
    def is_calm(self) -> bool:
        """Return whether no process may be disturbed now; see `slow_actions`."""
        return time.monotonic() < self._calm_until

    def carry_out(self, event: Event) -> bool:
        """Carry an event out, and record it. Returns False if it met no process, and so was not carried out."""
        at = round(self.now, 2)
        self._disturbed_at = time.monotonic()
        met = getattr(self, event.name)(**event.options) or {}
        if met.get("met") == NO_PROCESS:
            return False
        self.journal.append(
            {"at": at, "planned": round(event.at, 2), "name": event.name, **event.options, **met}
        )
        return True

    def pause(self) -> None:
        """Restart dead processes, resume frozen ones that are due, and sleep briefly. Call this all the time."""
        self.processes.watch()
        if (
            self._windows
            or self.processes.frozen
            or not {"postgres", "valkey"} <= self.servers.running.keys()
        ):
            self._disturbed_at = time.monotonic()
        time.sleep(PAUSE_SECONDS)

    @property
    def quiet_seconds(self) -> float:
        """Return for how many seconds no fault has been at work."""
        return time.monotonic() - self._disturbed_at

    def end(self) -> None:
        """End every fault, and start what is stopped."""
        self.processes.resume_all()
        self._windows.clear()
        self._count_struck()
        self.scene.cloud.no_faults()
        self.scene.cloud.clock(token_seconds=3600.0)
        self.start_valkey()
        self.start_postgres()

    # --- Processes -----------------------------------------------------------------------------------------

    def kill(self, role: str, of: str, pick: float, *, aimed: bool) -> dict[str, str]:
        """Kill a program's main process, or one of its pool. While it is dead, kill a process of another worker."""
        for name in [of, *(self.plan.workers if of in self.plan.workers else ())]:
            main = self.processes.get_main(name)
            process_tree = [main] if main and role == "main" else self.processes.get_children(name)
            # A frozen process must be resumed, to write too late.
            victims = [process for process in process_tree if process not in self.processes.frozen]
            if victims:
                break
        else:
            return {"met": NO_PROCESS}
        victim = victims[int(pick * len(victims))]
        if aimed and role == "child":
            victim = self._find_owner_among(victims) or victim
        self.processes.kill(name, victim)
        held = [table for table, pid in self._read_owners() if pid == victim.pid]
        self.claims_broken.update(held)
        met = f"{'a process' if role == 'child' else 'the main process'} of {name}"
        return {"met": met, "held": ", ".join(held)}

    def freeze(self, request: str) -> dict[str, str]:
        """Freeze a worker for longer than its lease, so that another one does its work before it goes on.

        "action": the worker's action is delayed by the cloud. It resumes with the answer, and tries to record it.
        "read": the worker reads the server to decide whether it has to send an action again, or an undo. It resumes with
        a state that is out of date, and tries to send the action.
        """
        until = time.monotonic() + FREEZE_WAIT_SECONDS
        seen = self.scene.cloud.call("GET", "requests", since=LOG_END)["next"]
        method = {"action": "POST", "read": "GET"}[request]
        while time.monotonic() < until and "postgres" in self.servers.running:
            for entry in self.scene.cloud.call("GET", "requests", since=seen)["requests"]:
                waits = entry["fault"] == "delay" and entry["status"] is None and entry["method"] == method
                server = SERVER_IN_PATH.search(entry["path"])
                if not (waits and server and time.time() - entry["time"] < DELAY_SECONDS / 2):
                    continue
                process = self._find_worker_of(server[1], before_action=request == "read")
                if process is None:
                    continue
                self.processes.freeze(process, FROZEN_SECONDS)
                # Otherwise the answer may have come first, and the worker may have been doing anything.
                if time.time() - entry["time"] < DELAY_SECONDS * 0.9:
                    return {"met": f"a worker that waited for its {request}"}
                self.processes.resume(process)
            self.pause()
        return {"met": NO_PROCESS}

    def _find_worker_of(self, server: str, *, before_action: bool) -> ProcessId | None:
        """Return the process that owns the job of a server; with `before_action`, only if it sends an action next."""
        try:
            rows = self.servers.query(
                "SELECT job.owner FROM tasks_job AS job JOIN tasks_entitylock AS lock ON lock.job_id = job.id"
                " JOIN vms_virtualmachine AS vm ON lock.key = 'vm:' || vm.id"
                " WHERE vm.openstack_id = %s AND job.owner <> '' AND (NOT %s OR job.status = 'undoing' OR EXISTS"
                " (SELECT 1 FROM tasks_step WHERE job_id = job.id AND name = 'send_request' AND status = 'waiting'))",
                server,
                before_action,
            )
        except psycopg2.Error:
            return None
        return ProcessId.of(_get_owner_pid(str(rows[0][0]))) if rows else None

    def _read_owners(self) -> list[tuple[str, int]]:
        """Return table and process of every claim whose lease is running; none while PostgreSQL is down."""
        query = " UNION ALL ".join(
            f"SELECT '{table}', owner FROM {table} WHERE owner <> '' AND lease_until > statement_timestamp()"
            for table in ("tasks_job", "tasks_pollscope", "vms_syncstate")
        )
        try:
            rows = self.servers.query(query)
        except psycopg2.Error:
            return []
        return [(str(table), _get_owner_pid(str(owner))) for table, owner in rows]

    def _find_owner_among(self, victims: list[ProcessId]) -> ProcessId | None:
        by_pid = {victim.pid: victim for victim in victims}
        until = time.monotonic() + AIM_SECONDS
        while time.monotonic() < until and "postgres" in self.servers.running:
            for _table, pid in self._read_owners():
                if pid in by_pid:
                    return by_pid[pid]
            self.pause()
        return None

    # --- Servers -------------------------------------------------------------------------------------------

    def flush_valkey(self) -> None:
        """Flush Valkey, so that every message and every cached token is lost."""
        self.servers.flush_valkey()

    def stop_valkey(self, *, gracefully: bool) -> None:
        """Stop Valkey."""
        self.servers.stop_valkey(gracefully=gracefully)

    def start_valkey(self) -> None:
        """Start Valkey, without any data."""
        self.servers.start_valkey()

    def stop_postgres(self, mode: str) -> None:
        """Stop PostgreSQL."""
        with self.database_gate:
            self.servers.stop_postgres(mode)

    def start_postgres(self) -> None:
        """Start PostgreSQL."""
        self.servers.start_postgres()

    def cut_connections(self) -> dict[str, int]:
        """Cut every connection to PostgreSQL, which goes on running."""
        try:
            with self.database_gate:
                rows = self.servers.query(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
        except psycopg2.Error:
            return {"connections": 0}  # PostgreSQL was down.
        return {"connections": len(rows)}

    # --- The cloud -----------------------------------------------------------------------------------------

    def cloud(self, window: str, *, on: bool, seconds: float = 0.0) -> None:
        """Begin or end one of the windows in which the cloud fails."""
        self._windows.pop(window, None)
        if on:
            self._windows[window] = seconds
            if window == "slow_actions":
                # Until its last request is answered, even if the window ends now; the plan opens it for four seconds.
                self._calm_until = time.monotonic() + seconds + 10
        self._set_rules()

    def _set_rules(self) -> None:
        self._count_struck()
        rules = [
            rule
            for window in WINDOWS
            if window in self._windows
            for rule in get_fault_rules(window, self._windows[window])
        ]
        self.scene.cloud.no_faults()
        self.scene.cloud.faults(*rules, *ALWAYS)

    def _count_struck(self) -> None:
        """Count how often the rules struck that are about to be removed."""
        for rule in self.scene.cloud.call("GET", "faults")["faults"]:
            kind = f"{rule['kind']} {rule['status']}" if rule["kind"] == "status" else rule["kind"]
            if rule["kind"] in {"delay", "hang"}:
                kind += f" {rule['seconds']:g} s"
            self.struck[kind] += rule["struck"]

    def token_life(self, seconds: float) -> None:
        """Set how long new tokens live."""
        self.scene.cloud.clock(token_seconds=seconds)

    def revoke_tokens(self) -> dict[str, int]:
        """Revoke every token that was issued."""
        return dict(self.scene.cloud.call("DELETE", "tokens"))

    def cloud_clock(self, seconds: float) -> None:
        """Let the cloud's clock jump."""
        self.scene.cloud.clock(advance_seconds=seconds)

    def change_externally(self, bystander: int, change: str) -> None:
        """Change or remove a server without the portal."""
        server = self.scene.bystanders[bystander].server
        if change == "remove":
            self.scene.cloud.remove(server)
        else:
            servers = self.scene.cloud.call("GET", "objects")["servers"]
            status = next(found["status"] for found in servers if found["id"] == server)
            self.scene.cloud.change(server, status="SHUTOFF" if status == "ACTIVE" else "ACTIVE")


def _get_owner_pid(owner: str) -> int:
    """Return the process of an owner, which is "<host>:<process>:<random>"."""
    return int(owner.split(":")[1])
