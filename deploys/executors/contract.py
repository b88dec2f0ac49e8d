"""The contract of executors: an executor gets an order and returns an outcome.

Nothing here uses Django's models, so executors can be run and tested alone. These classes validate the values of tenants,
because names, paths and addresses become parts of commands on hosts.
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

from api.messages import limit_message, map_texts

from .untrusted_text import clean_label, clean_text

# Names become parts of paths, unit names and log lines, so they have no slash and no blank, and no dot in front.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+~-]{0,127}")
USER = re.compile(r"[a-z_][a-z0-9_.-]{0,31}\$?")
FOLDER = re.compile(r"/[A-Za-z0-9_./+~-]{1,500}")

MESSAGE_CHARACTERS = 4_000

Settings = Mapping[str, Any]
OnLine = Callable[[str], None]


class Code(TextChoices):
    """The result of a deployment to a host. The values are stable: the database, the API and operators' programs use them."""

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
    """An order that cannot be carried out. `code` is one of `Code`; the message contains no secret."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class Target:
    """One service on one host. Raises ValueError for an invalid value.

    `ip` is an address, never a name, so the checked address is the one that is connected to.
    `folder` belongs to this service alone and contains its releases.
    """

    name: str
    ip: str
    user: str
    service: str
    service_port: int
    folder: str
    ssh_port: int = 22

    def __post_init__(self) -> None:
        _require_match(NAME, self.name, "host name")
        _require_match(NAME, self.service, "service name")
        _require_match(USER, self.user, "user")
        _require_match(FOLDER, self.folder, "folder")
        if ".." in self.folder.split("/"):
            raise ValueError(f"The folder {self.folder!r} leads upwards.")
        ipaddress.ip_address(self.ip)
        _require_port(self.ssh_port)
        _require_port(self.service_port)


@dataclass(frozen=True, slots=True)
class Release:
    """A version: its label, and the address of its .tar.gz. `repr` leaves the URL out, because it may contain a signature."""

    label: str
    artifact_url: str = field(repr=False)
    sha256: str

    def __post_init__(self) -> None:
        _require_match(NAME, self.label, "version label")
        _require_match(re.compile(r"[0-9a-f]{64}"), self.sha256, "SHA-256 sum")
        parts = urlsplit(self.artifact_url)
        # `parts.port` raises ValueError for an invalid port.
        is_web = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        if not is_web or not self.artifact_url.isprintable() or " " in self.artifact_url:
            raise ValueError("An artifact's address is http or https, with a host.")


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """A health check: a version is healthy after `in_a_row` good responses, `interval` seconds apart, within `seconds`.

    `contains` is text that the response must contain; `{version}` in it stands for the label. It distinguishes the new
    version from an old process that did not end and still answers.
    """

    path: str = "/"
    port: int = 80
    expected_status: int = 200
    in_a_row: int = 3
    seconds: float = 60
    interval: float = 1
    contains: str = ""

    def __post_init__(self) -> None:
        # With a line break or a blank, a tenant could add headers to the portal's request.
        _require_match(re.compile(r"/[!-~]{0,500}"), self.path, "health path")
        _require_port(self.port)
        if self.in_a_row < 1 or self.seconds <= 0 or self.interval <= 0:
            raise ValueError("A health check needs at least one good response, and time for it.")


@dataclass(frozen=True, slots=True)
class Credentials:
    """The portal's private key for a host, and the host keys that the portal trusts.

    `known_hosts` has the format of `ssh-keyscan`, or contains bare public keys of the host, one in each line.
    """

    private_key: str = field(default="", repr=False)
    known_hosts: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Order:
    """An order to deploy a release to a target.

    `previous` is the release that runs there as far as the portal knows; an executor that keeps releases on the host
    reads it from the host instead. With `auto_revert`, a failure restores the previous release.
    `settings` are the service's settings for its executor (`Executor.check_settings`).
    """

    target: Target
    release: Release
    credentials: Credentials = Credentials()
    health: HealthCheck | None = None
    settings: Settings = field(default_factory=dict)
    previous: Release | None = None
    auto_revert: bool = True

    def secrets(self) -> list[str]:
        """Return the secrets that no log line may hold."""
        parts = urlsplit(self.release.artifact_url)
        inside = [parts.query, parts.password or "", parts.netloc.rpartition("@")[0]]
        inside += [pair.partition("=")[2] for pair in parts.query.split("&")]
        return [*inside, *self.credentials.private_key.splitlines()]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of an order.

    `running` is the label of the version that runs afterwards: "" when none runs, None when it is unknown.
    `changed` is False when the host already ran the version. `lines` are masked and bounded.

    Many of these values come from hosts. A value of another type, too long, or impossible to store is converted here, so
    that no answer of a host can prevent a job from ending.
    """

    code: Code
    message: str = ""
    running: str | None = None
    changed: bool = True
    lines: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        fit = {
            "code": Code(self.code) if self.code in Code.values else Code.FAILED,
            "message": limit_message(
                map_texts(self.message, lambda text: clean_text(text, MESSAGE_CHARACTERS)), MESSAGE_CHARACTERS
            ),
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
    """A way to deploy versions to hosts. All threads of a process share one instance."""

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
        """Carry out an order and return its outcome, also after a failure.

        Safe to repeat: a host that already runs the version is a success, and a half-done deployment is continued.
        `on_line` gets each log line at once. `should_continue` is called about twice a second; when it returns False, or
        when an exception such as Celery's soft time limit arrives, every process of the deployment is killed.
        Returns a few seconds after the executor's `seconds` at the latest.
        """

    @abstractmethod
    def check_settings(self, settings: Settings) -> dict[str, str | Promise]:
        """Return the errors of a service's settings by field; empty when they are valid."""


def _require_match(pattern: re.Pattern[str], text: str, what: str) -> None:
    if not pattern.fullmatch(text):
        raise ValueError(f"This is no {what}: {text[:100]!r}.")


def _require_port(port: int) -> None:
    if not 1 <= port <= 65535:
        raise ValueError(f"This is no port: {port}.")
