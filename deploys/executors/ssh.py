"""How the portal speaks SSH: which options, which keys it trusts, and what ssh's words mean."""

from __future__ import annotations

import os
import shlex
import tempfile
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from .contract import Code, Credentials, ExecutorError, Target
from .masked_log import MaskedLog
from .process import ProcessTimedOut, run_to_the_end

CONNECT_SECONDS = 10
# No user's configuration, no agent, no password, no forwarding: what is in the order is all that counts.
OPTIONS = (
    "BatchMode=yes",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "PreferredAuthentications=publickey",
    "StrictHostKeyChecking=yes",
    "GlobalKnownHostsFile=none",
    "UpdateHostKeys=no",
    "CheckHostIP=no",
    "ForwardAgent=no",
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
    f"ConnectTimeout={CONNECT_SECONDS}",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
)
# ssh says 255 for all of its own troubles, so that only its text tells them apart. It is never translated.
MEANINGS = (
    ("Host key verification failed", Code.UNKNOWN_HOST_KEY),
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", Code.UNKNOWN_HOST_KEY),
    ("Permission denied", Code.KEY_REFUSED),
    ("Too many authentication failures", Code.KEY_REFUSED),
)
SSH_FAILED = 255


def meaning_of(text: str) -> Code:
    """What ssh's complaint means; a host that hangs up, refuses or keeps silent is unreachable."""
    return next((code for words, code in MEANINGS if words in text), Code.UNREACHABLE)


def arguments(folder: Path) -> list[str]:
    """Arguments of ssh for the files that `write_credentials` wrote into `folder`."""
    options = [*OPTIONS, f'UserKnownHostsFile="{folder / "known_hosts"}"']
    return ["-F", "none", *(part for option in options for part in ("-o", option))]


def environment(home: Path) -> dict[str, str]:
    """A clean environment for programs that go to hosts: no agent's socket, nothing of the portal's own."""
    return {
        "PATH": os.pathsep.join(os.get_exec_path()),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
    }


def write_credentials(folder: Path, target: Target, credentials: Credentials) -> None:
    """Write `key` and `known_hosts` into a folder of this target's own, readable for us alone."""
    folder.mkdir(mode=0o700, exist_ok=True)
    _write(folder / "key", credentials.private_key.strip() + "\n")
    _write(folder / "known_hosts", known_hosts(target, credentials.known_hosts))


def known_hosts(target: Target, text: str) -> str:
    """Lines for a known_hosts file: bare public keys are given the target's address, others stay as they are."""
    host = target.ip if target.ssh_port == 22 else f"[{target.ip}]:{target.ssh_port}"
    lines = []
    for line in filter(None, map(str.strip, text.splitlines())):
        bare = line.startswith(("ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-"))
        lines.append(f"{host} {line}" if bare else line)
    return "".join(line + "\n" for line in lines)


def check_private_key(text: str) -> None:
    """Refuse what is no private key, or one with a passphrase. Raises ValueError in words, without the key."""
    try:
        load_ssh_private_key((text.strip() + "\n").encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("This is no private key in OpenSSH's format, or it has a passphrase.") from None


def ask_host(target: Target, credentials: Credentials, command: list[str], *, seconds: float = 30) -> str:
    """What a short command prints on the host. Raises `ExecutorError`.

    Its own exit code is not looked at: the command is a question.
    """
    log = MaskedLog(lambda _line: None, credentials.private_key.splitlines())
    with tempfile.TemporaryDirectory(prefix="portal-ssh-") as name:
        folder = Path(name)
        write_credentials(folder, target, credentials)
        program = ["ssh", *arguments(folder), "-i", str(folder / "key"), "-p", str(target.ssh_port)]
        program += ["-T", "--", f"{target.user}@{target.ip}", shlex.join(command)]
        try:
            code = run_to_the_end(
                program, log.add, seconds=seconds, environment=environment(folder), remove=folder
            )
        except ProcessTimedOut:
            raise ExecutorError(Code.TIMED_OUT, f"{target.name} did not answer in {seconds:.0f} s.") from None
    said = "\n".join(log.lines())
    if code == SSH_FAILED:
        raise ExecutorError(meaning_of(said), said[-500:])
    return said


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
