"""User data of a new VM: what cloud-init reads at the first boot, from the portal and from the person who creates the VM.

The portal's part is a cloud-config with the SSH keys. With user data of one's own, both become a MIME message of two parts,
each with the type that its first line names. What passes Nova's limit is compressed, which cloud-init and cloudbase-init read.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Sequence

from django.utils.translation import gettext as _

# Characters in UTF-8, as a person may enter them.
MAX_BYTES = 65_536
# Nova stores at most 65,535 characters of base64, which encode this number of bytes.
NOVA_MAX_BYTES = 49_149

# By the first line, as cloud-init finds the type of a part (cloudinit/handlers/__init__.py, INCLUSION_TYPES_MAP).
_TYPES = (
    ("## template: jinja", "text/jinja2"),
    ("#cloud-config-archive", "text/cloud-config-archive"),
    ("#cloud-config-jsonp", "text/cloud-config-jsonp"),
    ("#cloud-config", "text/cloud-config"),
    ("#cloud-boothook", "text/cloud-boothook"),
    ("#include-once", "text/x-include-once-url"),
    ("#include", "text/x-include-url"),
    ("#part-handler", "text/part-handler"),
    ("#!", "text/x-shellscript"),
    # cloudbase-init on Windows: PowerShell and batch scripts.
    ("#ps1", "text/x-shellscript"),
    ("rem cmd", "text/x-shellscript"),
)
_MIME_HEADER = re.compile(r"(?:mime-version|content-type|content-transfer-encoding|from)[ :]", re.IGNORECASE)
_USERS = re.compile(r"^users\s*:", re.MULTILINE)
# Ours is appended to what the person has configured: their keys and users stay, and lists are joined.
_MERGE = "list(append)+dict(no_replace,recurse_list)+str()"
DEPLOY_USER = "deploy"


class UserDataError(ValueError):
    """User data that is not accepted. The message is for people, and does not repeat the text, which may hold secrets."""


def find_type(text: str) -> str:
    """Return the MIME type of user data, by its first line. Raises `UserDataError`."""
    begin = text.lstrip().lower()
    if _MIME_HEADER.match(begin):
        raise UserDataError(
            _(
                "User data with MIME headers of its own is not accepted, because the portal adds a part with the SSH keys. Enter the content of one part; several fit into a '#cloud-config-archive'."
            )
        )
    for prefix, kind in _TYPES:
        if begin.startswith(prefix):
            return kind
    raise UserDataError(
        _("The first line names the kind of the user data. It begins with one of: %(kinds)s.")
        % {"kinds": ", ".join(prefix for prefix, _kind in _TYPES)}
    )


def check_user_data(text: str) -> None:
    """Raise `UserDataError` for user data that is too long, or whose first line is of no known kind."""
    size = len(text.encode())
    if size > MAX_BYTES:
        raise UserDataError(
            _("The user data has %(size)s bytes in UTF-8; at most %(most)s are allowed.")
            % {"size": size, "most": MAX_BYTES}
        )
    find_type(text)


def build_user_data(keys: Sequence[str], text: str, *, deploy_key: str = "") -> bytes | None:
    """Return the user data for Nova: that of the person (`text`) and the public keys; None when there is nothing.

    `deploy_key` is for the user `deploy`, whom the portal logs in as (docs/deploys.md); `keys` are for the image's own user.
    The same arguments give the same bytes. Raises `UserDataError`, also when the result is too large for Nova, compressed too.
    """
    if text:
        check_user_data(text)
    config = _build_config(keys, text, deploy_key) if keys or deploy_key else ""
    parts = [(find_type(text), text)] if text else []
    if config:
        parts.append(("text/cloud-config", config))
    is_message = len(parts) > 1 or _looks_like_mime(text)
    content = _join_parts(parts) if is_message else (text or config).encode()
    if len(content) > NOVA_MAX_BYTES:
        content = gzip.compress(content, compresslevel=9, mtime=0)
    if len(content) > NOVA_MAX_BYTES:
        raise UserDataError(
            _(
                "The user data is too large for the cloud: with the SSH keys it has %(size)s bytes when compressed, and %(most)s are possible. Shorten it, or load the rest with '#include' and an address."
            )
            % {"size": len(content), "most": NOVA_MAX_BYTES}
        )
    return content or None


def _build_config(keys: Sequence[str], text: str, deploy_key: str) -> str:
    """Return the portal's own cloud-config. Its values are JSON, which is YAML as well, so no key can break out of them."""
    lines = ["#cloud-config"]
    if text:
        lines.append(f"merge_type: {json.dumps(_MERGE)}")
    if keys:
        lines.append(f"ssh_authorized_keys: {json.dumps(list(keys))}")
    if deploy_key:
        account = {
            "name": DEPLOY_USER,
            "shell": "/bin/bash",
            "lock_passwd": True,
            "sudo": "ALL=(ALL) NOPASSWD:ALL",
            "ssh_authorized_keys": [deploy_key],
        }
        # "default" is the image's own user, whom a list of users would leave out; a person's own list decides that itself.
        users = [account] if _USERS.search(text) else ["default", account]
        lines.append(f"users: {json.dumps(users)}")
    return "\n".join(lines) + "\n"


def _looks_like_mime(text: str) -> bool:
    """Return whether cloud-init would take a text for a MIME message: it searches the first 4,096 bytes for this header."""
    return b"mime-version:" in text.encode()[:4096].lower()


def _join_parts(parts: Sequence[tuple[str, str]]) -> bytes:
    """Return a MIME message. Texts that are not ASCII are in base64, because cloud-init reads no 8-bit parts."""
    boundary = "portal-" + hashlib.sha256("\0".join(text for _kind, text in parts).encode()).hexdigest()
    lines = ["MIME-Version: 1.0", f'Content-Type: multipart/mixed; boundary="{boundary}"', ""]
    for number, (kind, text) in enumerate(parts, start=1):
        lines += [
            f"--{boundary}",
            f'Content-Type: {kind}; charset="utf-8"',
            f"Content-Transfer-Encoding: {'7bit' if text.isascii() else 'base64'}",
            f'Content-Disposition: attachment; filename="part-{number:03d}"',
            "",
            text if text.isascii() else base64.encodebytes(text.encode()).decode(),
        ]
    return "\n".join([*lines, f"--{boundary}--", ""]).encode()
