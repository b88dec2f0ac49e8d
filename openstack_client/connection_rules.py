"""Rules for connections to a cloud: their addresses, and the size of answers.

A cloud is not trusted: its catalog may hold any address, and a tenant may have entered a server of its own as a cloud.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionRules:
    """The rules of one account. Without `connect`, connections go wherever the cloud's catalog says.

    `connect` takes host, port and timeout in seconds, and returns a connected socket. It resolves the name itself, so that it
    connects to the address that it has checked. It raises `CloudAddressRefusedError` where no cloud may be, and OSError.
    `check` takes host and port and raises the same; it is used with a `proxy`, which resolves the name and connects itself.
    The proxy of the environment is not used.

    The other fields bound one answer: `answer_bytes` its body, both compressed and decompressed, `header_bytes` its headers
    and the status line, `answer_seconds` the time from the request to its last byte, and `json_tokens` its values, because
    small texts become large objects (64 MiB of "[],[]," would be 1.4 GB).
    """

    connect: Callable[[str, int, float | None], socket.socket] | None = None
    check: Callable[[str, int], object] | None = None
    proxy: str | None = None
    answer_bytes: int = 64 * MIB
    # Ten times the number for 1,000 servers with long metadata.
    json_tokens: int = 1_000_000
    header_bytes: int = 256 * 1024
    # More than the slowest page of a loaded Nova that was measured, and less than the time limit of a worker's task.
    answer_seconds: float = 90.0


class AnswerRefusedError(Exception):
    """An answer exceeded a bound. The message completes "it ..." ("sent more than 64 MiB").

    Neither a `CloudError` nor an exception of a library, so that no library takes it for a broken connection.
    """


def check_json_tokens(content: bytes, max_tokens: int) -> None:
    """Refuse an answer with so many values that parsing it would fill the memory. Costs nothing for answers below 1 MiB.

    Raises `AnswerRefusedError`.
    """
    if len(content) > MIB and sum(map(content.count, (b",", b"[", b"{"))) > max_tokens:
        raise AnswerRefusedError(f"sent more than {max_tokens:,} values, more than any answer of a cloud has")


def format_mebibytes(count: int) -> str:
    """Return a number of bytes as text, in MiB."""
    return f"{count / MIB:g} MiB"
