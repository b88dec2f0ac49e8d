"""The plan of a storm, made from the seed before anything starts, so that a run can be repeated.

The times are seconds since the load began.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

# The seconds from one kill to the next. A killed worker needs some three seconds of a processor to start.
SECONDS_PER_KILL = 2.4
# The two beats of a storm, although there should be one.
BEATS = ("beat-a", "beat-b")
# The weights of the victims. Most are pool processes: those own jobs.
VICTIMS = {
    ("child", "worker-a"): 36,
    ("child", "worker-b"): 36,
    ("main", "worker-a"): 8,
    ("main", "worker-b"): 8,
    ("child", "worker-sync"): 8,
    ("main", "worker-sync"): 4,
}
BYSTANDERS = 6
# How late the slow answers of the cloud are. The portal waits 30 s for an answer.
SLOW_SECONDS = 29.0


@dataclass(frozen=True, slots=True)
class Event:
    """One fault that is injected; `name` is a method of `Injections`."""

    at: float
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlannedClick:
    """The random numbers of one click, drawn before it, so that the sequence does not depend on what the portal answers."""

    pause: float  # Of the mean, before it.
    vm: int
    action: float
    hard: bool
    keyed: bool
    busy: float  # Chooses what to do if the VM is busy.
    answer_lost: bool  # Under a key alone: the first answer does not arrive, and the click is sent again.


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a storm."""

    seed: int
    kills: int
    vms: int
    seconds: float
    clicks_per_second: float
    users: int
    events: tuple[Event, ...]
    # Between these times no process is killed and PostgreSQL stays up; see `slow_actions`.
    calm: tuple[float, float] | None
    # The programs that run jobs and syncs, and those that send the tasks of schedules.
    workers: tuple[str, ...]
    beats: tuple[str, ...]
    # A kill or a freeze that meets no process is tried again until this second.
    kills_until: float

    def generate_clicks(self, user: int) -> Iterator[PlannedClick]:
        """Generate the clicks of one user, without end. Each click draws the same number of random numbers."""
        dice = random.Random(f"{self.seed}/person/{user}")
        while True:
            yield PlannedClick(
                pause=0.5 + dice.random(),
                vm=dice.randrange(self.vms),
                action=dice.random(),
                hard=dice.random() < 0.5,
                keyed=dice.random() < 0.6,
                busy=dice.random(),
                answer_lost=dice.random() < 0.1,
            )

    def as_json(self) -> dict[str, Any]:
        """Return the plan for the report."""
        return asdict(self)


def make_plan(
    *,
    seed: int,
    kills: int,
    vms: int,
    seconds: float | None,
    clicks_per_second: float,
    small: bool = False,
    victims: Mapping[tuple[str, str], int] = VICTIMS,
    beats: tuple[str, ...] = BEATS,
) -> Plan:
    """Make the plan of a seed. `small` leaves out what takes long, for the test suite."""
    length = seconds or max(20.0, kills * SECONDS_PER_KILL)
    dice = random.Random(f"{seed}/plan")
    events, calm = _plan_small(length) if small else plan_faults(length, dice)
    events += _plan_kills(kills, length, calm, random.Random(f"{seed}/kills"), victims)
    if not small:
        events += _plan_other_kills(kills, length, calm, random.Random(f"{seed}/beside"), beats)
        events += _plan_freezes(kills, length, calm, random.Random(f"{seed}/freezes"))
        events += plan_external_changes(length, random.Random(f"{seed}/behind"))
    return Plan(
        seed=seed,
        kills=kills,
        vms=vms,
        seconds=length,
        clicks_per_second=clicks_per_second,
        users=4,
        events=tuple(sorted(events, key=lambda event: event.at)),
        calm=calm,
        workers=tuple(sorted({name for _role, name in victims})),
        beats=beats,
        kills_until=length,
    )


def _plan_small(length: float) -> tuple[list[Event], None]:
    return [
        Event(0.05 * length, "cloud", {"window": "errors", "on": True}),
        Event(0.10 * length, "cloud", {"window": "lost_answers", "on": True}),
        Event(0.35 * length, "flush_valkey"),
        Event(0.55 * length, "stop_postgres", {"mode": "fast"}),
        Event(0.55 * length + 0.5, "start_postgres"),
        Event(0.90 * length, "cloud", {"window": "errors", "on": False}),
        Event(0.95 * length, "cloud", {"window": "lost_answers", "on": False}),
    ], None


def plan_faults(length: float, dice: random.Random) -> tuple[list[Event], tuple[float, float]]:
    """Plan each kind of fault in its own part of the storm, moved a little by the seed. A short storm has shorter parts.

    Returns the events and the calm. No process of the portal is killed or frozen by them.
    """

    def time_at(share: float) -> float:
        return (share + dice.uniform(-0.01, 0.01)) * length

    minute = min(60.0, length / 8)
    slow = min(SLOW_SECONDS, length / 16)
    events: list[Event] = []

    def window(name: str, begin: float, end: float) -> None:
        events.append(Event(begin, "cloud", {"window": name, "on": True, "seconds": slow}))
        events.append(Event(end, "cloud", {"window": name, "on": False}))

    window("errors", time_at(0.05), time_at(0.24))
    window("errors", time_at(0.66), time_at(0.97))
    window("lost_answers", time_at(0.10), time_at(0.40))
    window("lost_answers", time_at(0.72), time_at(0.95))
    begin = time_at(0.27)
    window("slow_reads", begin, begin + slow + 6)
    # The database is down for longer than a lease while a worker waits for a slow answer: the worker loses its lease
    # although it lives.
    events += _plan_postgres_restart(begin + slow / 2, "fast", down=6.0)
    begin = time_at(0.38)
    window("away", begin, begin + minute)
    begin = time_at(0.50)
    events.append(Event(begin, "stop_valkey", {"gracefully": dice.random() < 0.5}))
    events.append(Event(begin + minute, "start_valkey"))
    # Workers that have lost the broker reconnect less and less often.
    calm_from = max(time_at(0.64), begin + minute + min(20.0, length / 24))
    calm = (calm_from, calm_from + slow + 8)
    window("slow_actions", calm_from + 1, calm_from + 5)
    events += _plan_postgres_restart(time_at(0.16), "fast", down=0.5)
    events += _plan_postgres_restart(max(time_at(0.82), calm[1] + 2), "immediate", down=1.0)
    events += _plan_postgres_restart(time_at(0.47), "fast", down=2.0)
    events += [
        Event(time_at(0.20), "token_life", {"seconds": 4.0}),
        Event(time_at(0.36), "token_life", {"seconds": 3600.0}),
        Event(time_at(0.41), "cloud_clock", {"seconds": 90.0}),
        Event(time_at(0.46), "cloud_clock", {"seconds": -90.0}),
    ]
    events += [Event(time_at(share), "flush_valkey") for share in (0.08, 0.33, 0.88)]
    events += [Event(time_at(share), "cut_connections") for share in (0.13, 0.92)]
    events += [Event(dice.uniform(0.1, 0.95) * length, "revoke_tokens") for _ in range(6)]
    return events, calm


def _plan_postgres_restart(at: float, mode: str, *, down: float) -> list[Event]:
    return [Event(at, "stop_postgres", {"mode": mode}), Event(at + down, "start_postgres")]


def _choose_time_outside(
    calm: tuple[float, float] | None, length: float, dice: random.Random, begin: float = 0.02
) -> float:
    while True:
        at = dice.uniform(begin, 0.99) * length
        if calm is None or not calm[0] <= at <= calm[1]:
            return at


def _plan_kills(
    count: int,
    length: float,
    calm: tuple[float, float] | None,
    dice: random.Random,
    victims: Mapping[tuple[str, str], int],
) -> list[Event]:
    """Plan kills of workers. Most are aimed at a process that owns a job at that moment, if there is one."""
    events = []
    for _ in range(count):
        role, of = dice.choices(list(victims), weights=list(victims.values()))[0]
        options = {"role": role, "of": of, "pick": dice.random(), "aimed": dice.random() < 0.7}
        events.append(Event(_choose_time_outside(calm, length, dice), "kill", options))
    return events


def _plan_freezes(
    count: int, length: float, calm: tuple[float, float] | None, dice: random.Random
) -> list[Event]:
    """Plan workers that are frozen for longer than their lease, and resumed after another one has done their work."""
    return [
        Event(_choose_time_outside(calm, length, dice), "freeze", {"request": ("action", "read")[number % 2]})
        for number in range(max(2, count // 10))
    ]


def _plan_other_kills(
    count: int,
    length: float,
    calm: tuple[float, float] | None,
    dice: random.Random,
    beats: tuple[str, ...],
) -> list[Event]:
    """Plan kills of web and beat, beside those of workers."""
    counts = {
        ("child", "web"): max(2, count // 20),
        ("main", "web"): max(1, count // 60),
        **{("main", beat): max(1, count // 60) for beat in beats},
    }
    return [
        Event(
            _choose_time_outside(calm, length, dice),
            "kill",
            {"role": role, "of": of, "pick": dice.random(), "aimed": False},
        )
        for (role, of), times in counts.items()
        for _ in range(times)
    ]


def plan_external_changes(length: float, dice: random.Random, *, removals: int = 2) -> list[Event]:
    """Plan changes without the portal, of servers that no user clicks on, so that the comparison stays exact."""
    events = []
    for number in range(BYSTANDERS):
        for _ in range(2):
            options = {"bystander": number, "change": "power"}
            events.append(Event(dice.uniform(0.05, 0.80) * length, "change_externally", options))
        if number < removals:
            options = {"bystander": number, "change": "remove"}
            events.append(Event(dice.uniform(0.82, 0.95) * length, "change_externally", options))
    return events
