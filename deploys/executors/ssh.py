"""SSH: client options, files with credentials, and the classification of errors."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from .contract import Code, Credentials, Target

CONNECT_SECONDS = 10
# No user's configuration, no agent, no password, no forwarding: only the credentials of the order are used.
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
# ssh exits with 255 for all errors of its own, so only the text distinguishes them. ssh does not translate it.
ERROR_CODES = (
    ("Host key verification failed", Code.UNKNOWN_HOST_KEY),
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", Code.UNKNOWN_HOST_KEY),
    ("Permission denied", Code.KEY_REFUSED),
    ("Too many authentication failures", Code.KEY_REFUSED),
)


def classify_error(text: str) -> Code:
    """Return the code of an SSH error; a host that disconnects, refuses or does not answer is unreachable."""
    return next((code for phrase, code in ERROR_CODES if phrase in text), Code.UNREACHABLE)


def build_environment(home: Path) -> dict[str, str]:
    """Return an environment for programs that connect to hosts: without an agent's socket and the portal's secrets."""
    return {
        "PATH": os.pathsep.join(os.get_exec_path()),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
    }


def write_credentials(folder: Path, target: Target, credentials: Credentials) -> None:
    """Write the files `key` and `known_hosts` into a folder for this target that only this user can read."""
    folder.mkdir(mode=0o700, exist_ok=True)
    _write_private_file(folder / "key", credentials.private_key.strip() + "\n")
    _write_private_file(folder / "known_hosts", format_known_hosts(target, credentials.known_hosts))


def format_known_hosts(target: Target, text: str) -> str:
    """Return the content of a known_hosts file: bare public keys get the target's address, other lines stay unchanged."""
    host = target.ip if target.ssh_port == 22 else f"[{target.ip}]:{target.ssh_port}"
    lines = []
    for line in filter(None, map(str.strip, text.splitlines())):
        bare = line.startswith(("ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-"))
        lines.append(f"{host} {line}" if bare else line)
    return "".join(line + "\n" for line in lines)


def check_private_key(text: str) -> None:
    """Raise ValueError unless the text is a private key without a passphrase. The error does not contain the text."""
    try:
        load_ssh_private_key((text.strip() + "\n").encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("This is no private key in OpenSSH's format, or it has a passphrase.") from None


def _write_private_file(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
