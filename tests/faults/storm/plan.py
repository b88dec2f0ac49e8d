"""What breaks when: worked out from the seed before anything starts, so that a run can be asked for again.

The times are seconds since the load began.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

# One kill in so many seconds. A killed worker needs some three seconds of a processor to come back.
SECONDS_PER_KILL = 2.4
# Who dies, and how often of a hundred times. Most are pool processes: they are the ones that hold claims.
VICTIMS = {
    ("child", "worker-a"): 36,
    ("child", "worker-b"): 36,
    ("main", "worker-a"): 8,
    ("main", "worker-b"): 8,
    ("child", "worker-sync"): 8,
    ("main", "worker-sync"): 4,
}
BYSTANDERS = 6
# Where the cloud slows down for half a minute; the portal's own limit for an answer is 30 s.
SLOW_SECONDS = 29.0


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that is done to the portal or to what it stands on; `name` is a method of `Injections`."""

    at: float
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person would do next, whatever the portal answers: dice, so that the sequence depends on nothing else."""

    pause: float  # Of the mean, before it.
    vm: int
    action: float
    hard: bool
    keyed: bool
    busy: float  # What is done about a VM that is busy.
    answer_lost: bool  # Under a key alone: the first answer does not arrive, and the click is sent again.


@dataclass(frozen=True, slots=True)
class Plan:
    """A storm, as it will be."""

    seed: int
    kills: int
    vms: int
    seconds: float
    clicks_per_second: float
    people: int
    events: tuple[Event, ...]
    # Between these times nobody is killed and PostgreSQL stays up; see `slow_actions`.
    calm: tuple[float, float] | None

    def wishes(self, person: int) -> Iterator[Wish]:
        """What one person does, endlessly. Each draws the same number of dice each time."""
        dice = random.Random(f"{self.seed}/person/{person}")
        while True:
            yield Wish(
                pause=0.5 + dice.random(),
                vm=dice.randrange(self.vms),
                action=dice.random(),
                hard=dice.random() < 0.5,
                keyed=dice.random() < 0.6,
                busy=dice.random(),
                answer_lost=dice.random() < 0.1,
            )

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self)


def make_plan(
    *, seed: int, kills: int, vms: int, seconds: float | None, clicks_per_second: float, small: bool = False
) -> Plan:
    """The plan of a seed. `small` leaves out what takes long: for the test suite."""
    length = seconds or max(20.0, kills * SECONDS_PER_KILL)
    dice = random.Random(f"{seed}/plan")
    events, calm = _small(length) if small else _everything(length, dice)
    events += _kills(kills, length, calm, random.Random(f"{seed}/kills"))
    if not small:
        events += _kills_beside(kills, length, calm, random.Random(f"{seed}/beside"))
        events += _freezes(kills, length, calm, random.Random(f"{seed}/freezes"))
        events += _behind_the_back(length, random.Random(f"{seed}/behind"))
    return Plan(
        seed=seed,
        kills=kills,
        vms=vms,
        seconds=length,
        clicks_per_second=clicks_per_second,
        people=4,
        events=tuple(sorted(events, key=lambda event: event.at)),
        calm=calm,
    )


def _small(length: float) -> tuple[list[Event], None]:
    return [
        Event(0.05 * length, "cloud", {"window": "errors", "on": True}),
        Event(0.10 * length, "cloud", {"window": "lost_answers", "on": True}),
        Event(0.35 * length, "flush_valkey"),
        Event(0.55 * length, "stop_postgres", {"mode": "fast"}),
        Event(0.55 * length + 0.5, "start_postgres"),
        Event(0.90 * length, "cloud", {"window": "errors", "on": False}),
        Event(0.95 * length, "cloud", {"window": "lost_answers", "on": False}),
    ], None


def _everything(length: float, dice: random.Random) -> tuple[list[Event], tuple[float, float]]:
    """Each kind at its own part of the storm, moved a little by the seed; a short storm has shorter parts."""

    def moment(share: float) -> float:
        return (share + dice.uniform(-0.01, 0.01)) * length

    minute = min(60.0, length / 8)
    slow = min(SLOW_SECONDS, length / 16)
    events: list[Event] = []

    def window(name: str, begin: float, end: float) -> None:
        events.append(Event(begin, "cloud", {"window": name, "on": True, "seconds": slow}))
        events.append(Event(end, "cloud", {"window": name, "on": False}))

    window("errors", moment(0.05), moment(0.24))
    window("errors", moment(0.66), moment(0.97))
    window("lost_answers", moment(0.10), moment(0.40))
    window("lost_answers", moment(0.72), moment(0.95))
    begin = moment(0.27)
    window("slow_reads", begin, begin + slow + 6)
    # The database is away for longer than a lease while a worker waits for a slow answer: it loses its claim alive.
    events += _postgres(begin + slow / 2, "fast", down=6.0)
    begin = moment(0.38)
    window("away", begin, begin + minute)
    begin = moment(0.50)
    events.append(Event(begin, "stop_valkey", {"politely": dice.random() < 0.5}))
    events.append(Event(begin + minute, "start_valkey"))
    # Workers that have lost the broker look for it less and less often.
    calm_from = max(moment(0.64), begin + minute + min(20.0, length / 24))
    calm = (calm_from, calm_from + slow + 8)
    window("slow_actions", calm_from + 1, calm_from + 5)
    events += _postgres(moment(0.16), "fast", down=0.5)
    events += _postgres(max(moment(0.82), calm[1] + 2), "immediate", down=1.0)
    events += _postgres(moment(0.47), "fast", down=2.0)
    events += [
        Event(moment(0.20), "token_life", {"seconds": 4.0}),
        Event(moment(0.36), "token_life", {"seconds": 3600.0}),
        Event(moment(0.41), "cloud_clock", {"seconds": 90.0}),
        Event(moment(0.46), "cloud_clock", {"seconds": -90.0}),
    ]
    events += [Event(moment(share), "flush_valkey") for share in (0.08, 0.33, 0.88)]
    events += [Event(moment(share), "cut_connections") for share in (0.13, 0.92)]
    events += [Event(dice.uniform(0.1, 0.95) * length, "revoke_tokens") for _ in range(6)]
    return events, calm


def _postgres(at: float, mode: str, *, down: float) -> list[Event]:
    return [Event(at, "stop_postgres", {"mode": mode}), Event(at + down, "start_postgres")]


def _moment_outside(
    calm: tuple[float, float] | None, length: float, dice: random.Random, begin: float = 0.02
) -> float:
    while True:
        at = dice.uniform(begin, 0.99) * length
        if calm is None or not calm[0] <= at <= calm[1]:
            return at


def _kills(count: int, length: float, calm: tuple[float, float] | None, dice: random.Random) -> list[Event]:
    """Kills of workers. Most of them are aimed at a process that holds a claim just then, if there is one."""
    events = []
    for _ in range(count):
        role, of = dice.choices(list(VICTIMS), weights=list(VICTIMS.values()))[0]
        options = {"role": role, "of": of, "pick": dice.random(), "aimed": dice.random() < 0.7}
        events.append(Event(_moment_outside(calm, length, dice), "kill", options))
    return events


def _freezes(count: int, length: float, calm: tuple[float, float] | None, dice: random.Random) -> list[Event]:
    """Workers that sleep through their lease and wake when somebody else has done their work."""
    return [
        Event(_moment_outside(calm, length, dice), "freeze", {"doing": ("asking", "looking")[number % 2]})
        for number in range(max(2, count // 10))
    ]


def _kills_beside(
    count: int, length: float, calm: tuple[float, float] | None, dice: random.Random
) -> list[Event]:
    """Kills of web and beat, beside the counted ones."""
    wanted = {
        ("child", "web"): max(2, count // 20),
        ("main", "web"): max(1, count // 60),
        ("main", "beat-a"): max(1, count // 60),
        ("main", "beat-b"): max(1, count // 60),
    }
    return [
        Event(
            _moment_outside(calm, length, dice),
            "kill",
            {"role": role, "of": of, "pick": dice.random(), "aimed": False},
        )
        for (role, of), times in wanted.items()
        for _ in range(times)
    ]


def _behind_the_back(length: float, dice: random.Random) -> list[Event]:
    """What somebody else does in the cloud, to VMs that nobody clicks on: so the comparison stays exact."""
    events = []
    for number in range(BYSTANDERS):
        for _ in range(2):
            event = {"bystander": number, "change": "power"}
            events.append(Event(dice.uniform(0.05, 0.80) * length, "meddle", event))
        if number < 2:
            event = {"bystander": number, "change": "remove"}
            events.append(Event(dice.uniform(0.82, 0.95) * length, "meddle", event))
    return events
