"""Public SSH keys in OpenSSH's format: what they are, and why a text is refused."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from django.conf import settings
from django.utils.translation import gettext as _

# The longest key that is accepted has 16,384 bits (RSA), in 2,800 characters; the rest is room for its comment.
MAX_LENGTH = 8_000
# NIST SP 800-131A: RSA keys below 2,048 bits are disallowed.
MIN_RSA_BITS = 2048
MAX_RSA_BITS = 16_384
KEY_TYPES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
)
_DSA = "ssh-dss"
_CERTIFICATE = re.compile(r"(?:sk-)?(?:ssh|ecdsa)-[a-z0-9-]+-cert-v[0-9]+@openssh\.com")
# PEM, OpenSSH's own format, and PuTTY's.
_PRIVATE = re.compile(r"PRIVATE\s+KEY|PuTTY-User-Key-File|Private-Lines", re.IGNORECASE)
# The begin of OpenSSH's private keys in base64 ("openssh-key-v1"), pasted without its first and last line.
_PRIVATE_BODY = "b3BlbnNzaC1rZXktdjE"
_OTHER_FORMAT = re.compile(r"BEGIN (?:SSH2 )?(?:RSA )?PUBLIC KEY")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]")


class PublicKeyError(ValueError):
    """A text is no public key that is accepted. The message is for people, and does not repeat the text."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key: `text` is its type and the key in base64, without a comment."""

    text: str
    type: str
    bits: int
    fingerprint: str


def parse_public_key(text: str) -> PublicKey:
    """Return the key of a text in OpenSSH's format. Raises `PublicKeyError`.

    No message repeats what was entered: it may be a private key.
    """
    if _PRIVATE.search(text) or _PRIVATE_BODY in text:
        raise PublicKeyError(
            _(
                "This is a private key. It was not stored. Never give it away: enter the public key, which is in the file that ends in .pub."
            )
        )
    if len(text) > MAX_LENGTH:
        raise PublicKeyError(
            _("The text has %(count)s characters. A public key has at most %(most)s.")
            % {"count": len(text), "most": MAX_LENGTH}
        )
    if _OTHER_FORMAT.search(text):
        raise PublicKeyError(
            _(
                "This public key is not in OpenSSH's format. Convert it with 'ssh-keygen -i -f FILE', and enter the line that it prints."
            )
        )
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > 1:
        raise PublicKeyError(
            _("Enter one key, on one line; there are %(count)s lines.") % {"count": len(lines)}
        )
    line = lines[0].strip() if lines else ""
    if _CONTROL.sub("", line.replace("\t", " ")) != line.replace("\t", " "):
        raise PublicKeyError(_("Control characters are not allowed in a public key."))
    words = line.split()
    known = [
        number
        for number, word in enumerate(words)
        if word in {*KEY_TYPES, _DSA} or _CERTIFICATE.fullmatch(word)
    ]
    if not known:
        raise PublicKeyError(
            _("This is no public key in OpenSSH's format. It begins with one of: %(types)s.")
            % {"types": ", ".join(KEY_TYPES)}
        )
    if known[0] > 0:
        raise PublicKeyError(
            _("There is text in front of the key. Options are not allowed: enter the key from '%(type)s' on.")
            % {"type": words[known[0]]}
        )
    if len(known) > 1:
        raise PublicKeyError(_("Enter one key; there are %(count)s.") % {"count": len(known)})
    return _read_key(words)


def fingerprint_of(text: str) -> str:
    """Return the SHA256 fingerprint of a key in OpenSSH's format, as `ssh-keygen -l` shows it."""
    digest = hashlib.sha256(base64.b64decode(text.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def name_key_pair(text: str) -> str:
    """Return the name of the key pair with which a portal imports this key into Nova, such as `portal-key-3f2c…`.

    It is made of the installation's tag and the key, so every import of a key has the same name, and two portals with the same
    credentials do not remove each other's key pairs. Nova takes letters, digits, spaces, "-" and "_" alone.
    """
    return f"{key_pair_prefix()}{hashlib.sha256(base64.b64decode(text.split()[1])).hexdigest()[:32]}"


def key_pair_prefix() -> str:
    """Return the begin of the names of this portal's key pairs. 32 hexadecimal digits follow."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", settings.CLOUD_TAG) + "-key-"


def is_nova_importable(text: str) -> bool:
    """Return whether Nova can import a key: it knows no keys of security keys (`sk-…`)."""
    return not text.startswith("sk-")


def _read_key(words: list[str]) -> PublicKey:
    kind = words[0]
    if kind == _DSA:
        raise PublicKeyError(_("DSA keys are not secure, and OpenSSH no longer accepts them. Use Ed25519."))
    if _CERTIFICATE.fullmatch(kind):
        raise PublicKeyError(_("This is a certificate, which expires. Enter the public key itself."))
    text = " ".join(words[:2])
    try:
        content = base64.b64decode(words[1].encode("ascii"), validate=True) if len(words) > 1 else b""
        key = load_ssh_public_key(text.encode("ascii"))
    except (ValueError, UnicodeError, binascii.Error, UnsupportedAlgorithm):
        raise PublicKeyError(
            _("The key is damaged: what follows '%(type)s' can't be read. Copy the whole line again.")
            % {"type": kind}
        ) from None
    if base64.b64encode(content).decode() != words[1]:
        # Another spelling of the same bytes would pass as another key.
        raise PublicKeyError(
            _("The key is damaged: what follows '%(type)s' can't be read. Copy the whole line again.")
            % {"type": kind}
        )
    bits = 256
    if isinstance(key, rsa.RSAPublicKey):
        bits = key.key_size
        if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
            raise PublicKeyError(
                _(
                    "The RSA key has %(bits)s bits; %(least)s to %(most)s are accepted. Ed25519 is a good choice."
                )
                % {"bits": bits, "least": MIN_RSA_BITS, "most": MAX_RSA_BITS}
            )
    elif isinstance(key, ec.EllipticCurvePublicKey):
        bits = key.curve.key_size
    return PublicKey(text, kind, bits, fingerprint_of(text))
