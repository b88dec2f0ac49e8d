"""Records of Nova's key pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import UnreadableRecordError
from .json_values import long_text, text


@dataclass(frozen=True, slots=True)
class Keypair:
    """The public half of a user's key pair. It has no id: its name is unique for its user.

    `fingerprint` is the MD5 of the key, as Nova computes it. `public_key` is the text that was imported, or "".
    """

    name: str
    type: str
    fingerprint: str
    public_key: str = ""

    @classmethod
    def from_json(cls, raw: Any) -> Keypair:
        """Return the record of one element of Nova's `keypairs`, which wraps each in an object of its own."""
        name = keypair_name(raw)
        if name is None:
            raise UnreadableRecordError("a key pair without a name")
        found = raw["keypair"]
        # Nova reports the type since microversion 2.2; before that, all were ssh.
        return cls(
            name,
            text(found.get("type")) or "ssh",
            text(found.get("fingerprint")) or "",
            long_text(found.get("public_key")) or "",
        )

    def has_key(self, public_key: str) -> bool:
        """Return whether this is the same public key. The comment after the key does not count."""
        return _split_key(self.public_key) == _split_key(public_key)


def keypair_name(raw: Any) -> str | None:
    """Return the name of one element of Nova's `keypairs`, or None."""
    found = raw.get("keypair") if isinstance(raw, dict) else None
    return text(found.get("name")) if isinstance(found, dict) else None


def _split_key(public_key: str) -> tuple[str, ...]:
    """Return the type and the key itself of an OpenSSH public key, or the whole text of any other."""
    fields = public_key.split()
    return tuple(fields[:2]) if len(fields) >= 2 else (public_key.strip(),)
