"""The contract of executors: an order in, an outcome out.

Nothing here knows Django's models, so that executors can be run and tested alone. What comes from tenants is checked
when it is put into these classes: names, paths and addresses end up in commands on hosts.
"""

from __future__ import annotations

import ipaddress
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import urlsplit

from django.db.models import TextChoices
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from .untrusted_text import clean_label, clean_text

# What stands in a path, in a unit's name and in a log line: no slash, no blank, and no dot in front.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+~-]{0,127}")
USER = re.compile(r"[a-z_][a-z0-9_.-]{0,31}\$?")
FOLDER = re.compile(r"/[A-Za-z0-9_./+~-]{1,500}")

MESSAGE_CHARACTERS = 4_000

Settings = Mapping[str, Any]
OnLine = Callable[[str], None]


class Code(TextChoices):
    """How it ended. The words are stable: rows, the API and programs of operators hold them."""

    OK = "ok", _("Running")
    UNREACHABLE = "unreachable", _("Host unreachable")
    UNKNOWN_HOST_KEY = "unknown_host_key", _("Unknown host key")
    KEY_REFUSED = "key_refused", _("SSH key refused by the host")
    ADDRESS_REFUSED = "address_refused", _("Host address not allowed")
    DISK_FULL = "disk_full", _("Disk full on the host")
    ARTIFACT_GONE = "artifact_gone", _("Artifact not found")
    ARTIFACT_UNAVAILABLE = "artifact_unavailable", _("Artifact server unreachable")
    ARTIFACT_WRONG_SUM = "artifact_wrong_sum", _("Artifact checksum mismatch")
    ARTIFACT_BAD = "artifact_bad", _("Invalid artifact archive")
    UNHEALTHY = "unhealthy", _("Health check failed")
    FLAPPING = "flapping", _("Health check is flapping")
    TIMED_OUT = "timed_out", _("Timed out")
    CANCELLED = "cancelled", _("Interrupted")
    FAILED = "failed", _("Failed")


class ExecutorError(Exception):
    """A question that a host or a program did not answer. `code` is one of `Code`; the text holds no secret."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class Target:
    """One service on one host. `name` tells the targets of one call apart. Raises ValueError in words.

    `ip` is an address, never a name: what was checked is then what is connected to.
    `folder` belongs to the service alone; releases live in it.
    """

    name: str
    ip: str
    user: str
    service: str
    service_port: int
    folder: str
    ssh_port: int = 22

    def __post_init__(self) -> None:
        _check(NAME, self.name, "host name")
        _check(NAME, self.service, "service name")
        _check(USER, self.user, "user")
        _check(FOLDER, self.folder, "folder")
        if ".." in self.folder.split("/"):
            raise ValueError(f"The folder {self.folder!r} leads upwards.")
        ipaddress.ip_address(self.ip)
        _check_port(self.ssh_port)
        _check_port(self.service_port)


@dataclass(frozen=True, slots=True)
class Release:
    """A version: its label, and where its .tar.gz is. The URL may hold a signature, so that repr does not show it."""

    label: str
    artifact_url: str = field(repr=False)
    sha256: str

    def __post_init__(self) -> None:
        _check(NAME, self.label, "version label")
        _check(re.compile(r"[0-9a-f]{64}"), self.sha256, "SHA-256 sum")
        parts = urlsplit(self.artifact_url)
        # To ask for a port that is none raises ValueError as well.
        is_web = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        if not is_web or not self.artifact_url.isprintable() or " " in self.artifact_url:
            raise ValueError("An artifact's address is http or https, with a host.")


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """When a version counts as up: `in_a_row` good answers, `interval` seconds apart, within `seconds`.

    `contains` is text that the answer must hold; `{version}` in it stands for the label. It is what tells the new
    version from an old process that was never ended and still answers.
    """

    path: str = "/"
    port: int = 80
    expected_status: int = 200
    in_a_row: int = 3
    seconds: float = 60
    interval: float = 1
    contains: str = ""

    def __post_init__(self) -> None:
        # A line break or a blank would let a tenant write headers of its own into the portal's request.
        _check(re.compile(r"/[!-~]{0,500}"), self.path, "health path")
        _check_port(self.port)
        if self.in_a_row < 1 or self.seconds <= 0 or self.interval <= 0:
            raise ValueError("A health check needs at least one good answer, and time for it.")


@dataclass(frozen=True, slots=True)
class Credentials:
    """How the portal proves itself to a host, and the host to the portal.

    `known_hosts` is what `ssh-keyscan` prints, or bare public keys of the host, one a line.
    """

    private_key: str = field(default="", repr=False)
    known_hosts: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Order:
    """One piece of work: this release on this target.

    `previous` is the release that runs there as far as the portal knows; an executor that keeps releases on the host
    asks the host instead. With `put_back`, a failure leaves the host on what ran before.
    `settings` are the service's own for its executor (`Executor.check_settings`).
    """

    target: Target
    release: Release
    credentials: Credentials = Credentials()
    health: HealthCheck | None = None
    settings: Settings = field(default_factory=dict)
    previous: Release | None = None
    put_back: bool = True

    def secrets(self) -> list[str]:
        """Return the secrets that no log line may hold."""
        parts = urlsplit(self.release.artifact_url)
        inside = [parts.query, parts.password or "", parts.netloc.rpartition("@")[0]]
        inside += [pair.partition("=")[2] for pair in parts.query.split("&")]
        return [*inside, *self.credentials.private_key.splitlines()]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one order ended.

    `running` is the label of the version that runs afterwards: "" when none does, None when nobody knows.
    `changed` is False when the host ran the version before. `lines` are masked and bounded.

    Every executor's word passes here, and much of it comes from hosts: what is of another type, too long, or cannot be
    stored is made fit, so that no answer can keep a job from ending.
    """

    code: Code
    message: str = ""
    running: str | None = None
    changed: bool = True
    lines: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        fit = {
            "code": Code(self.code) if self.code in Code.values else Code.FAILED,
            "message": clean_text(self.message, MESSAGE_CHARACTERS),
            "running": clean_label(self.running),
            "changed": bool(self.changed),
            "lines": tuple(clean_text(line, MESSAGE_CHARACTERS) for line in self.lines),
        }
        for name, value in fit.items():
            object.__setattr__(self, name, value)

    @property
    def ok(self) -> bool:
        return self.code is Code.OK


class Executor(ABC):
    """A way to put versions on hosts. One instance serves all threads of a process."""

    name: ClassVar[str]
    label: ClassVar[str | Promise]

    @abstractmethod
    def deploy(
        self,
        order: Order,
        on_line: OnLine,
        *,
        should_continue: Callable[[], bool] = lambda: True,
    ) -> Outcome:
        """Carry out an order and return its outcome, whatever happened.

        Safe to repeat: a host that runs the version already is success, and a half-done deployment is taken up.
        `on_line` gets each line as soon as it is there. `should_continue` is called about twice a second; when it returns
        False, or an exception such as Celery's soft time limit arrives, every process of the deployment is killed.
        Returns within the executor's `seconds` and a few more.
        """

    @abstractmethod
    def check_settings(self, settings: Settings) -> dict[str, str | Promise]:
        """Return the errors of a service's settings by field; empty when they are valid."""


def _check(pattern: re.Pattern[str], text: str, what: str) -> None:
    if not pattern.fullmatch(text):
        raise ValueError(f"This is no {what}: {text[:100]!r}.")


def _check_port(port: int) -> None:
    if not 1 <= port <= 65535:
        raise ValueError(f"This is no port: {port}.")
