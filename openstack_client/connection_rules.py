"""The rules for connections to a cloud: where they may go, and how large an answer may be.

A cloud is not trusted: its login answers with a catalog of addresses, and a tenant may have entered a server of its own.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionRules:
    """The rules of one account. Without `connect`, connections go wherever the cloud's catalog says.

    `connect` takes host, port and timeout in seconds, and returns a connected socket: it resolves the name itself, so
    that what it checks is what is connected to. It raises `CloudAddressRefusedError` where no cloud may be, and OSError.
    `check` takes host and port and raises the same; with a `proxy` it is all that can be asked, as the proxy resolves
    the name. No proxy is taken from the environment.

    The rest bounds one answer: `answer_bytes` as sent and again as unpacked, `header_bytes` all its headers (and what
    comes before them), `answer_seconds` from its request to its last byte, and `json_tokens` its values, as small texts
    become large objects (64 MiB of "[],[]," would be 1.4 GB).
    """

    connect: Callable[[str, int, float | None], socket.socket] | None = None
    check: Callable[[str, int], object] | None = None
    proxy: str | None = None
    answer_bytes: int = 64 * MIB
    # Ten times what 1,000 servers with long metadata need.
    json_tokens: int = 1_000_000
    header_bytes: int = 256 * 1024
    # Above the slowest page that a loaded Nova was seen to make, below the time limit of a worker's task.
    answer_seconds: float = 90.0


class AnswerRefused(Exception):
    """An answer went beyond the rules. Its text says what the answer did ("sent more than 64 MiB").

    No `CloudError` and no exception of a library, so that nothing in between takes it for a broken connection.
    """


def check_json_tokens(content: bytes, most: int) -> None:
    """Refuse an answer of so many values that parsing it would fill the memory. Free for answers of usual size.

    Raises `AnswerRefused`.
    """
    if len(content) > MIB and sum(map(content.count, (b",", b"[", b"{"))) > most:
        raise AnswerRefused(f"sent more than {most:,} values, which no answer of a cloud does")


def format_mebibytes(count: int) -> str:
    """Return a number of bytes as text, in MiB."""
    return f"{count / MIB:g} MiB"
