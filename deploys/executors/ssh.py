"""SSH: options, trusted keys, and the meaning of its errors."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from .contract import Code, Credentials, Target

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
# ssh's exit code is 255 for all of its own troubles, so that only its text tells them apart. It is never translated.
MEANINGS = (
    ("Host key verification failed", Code.UNKNOWN_HOST_KEY),
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", Code.UNKNOWN_HOST_KEY),
    ("Permission denied", Code.KEY_REFUSED),
    ("Too many authentication failures", Code.KEY_REFUSED),
)


def meaning_of(text: str) -> Code:
    """Return the code of an SSH error; a host that disconnects, refuses or does not answer is unreachable."""
    return next((code for words, code in MEANINGS if words in text), Code.UNREACHABLE)


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
    """Raise ValueError, without the key, unless the text is a private key without a passphrase."""
    try:
        load_ssh_private_key((text.strip() + "\n").encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("This is no private key in OpenSSH's format, or it has a passphrase.") from None


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
