"""A passkey in software: what a browser and a device do together (WebAuthn), written from the standard."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import struct

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fido2 import cbor

USER_PRESENT, USER_VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def encode(data):
    """Return bytes in base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class SoftwarePasskey:
    """A key pair on the elliptic curve P-256, with the number of its signatures. `counts=False`: a device that does not count."""

    def __init__(self, origin="http://testserver", *, counts=True):
        self.origin = origin
        self.host = origin.split("//")[1].split(":")[0]
        self.counts = counts
        self.count = 0
        self.id = secrets.token_bytes(32)
        self.key = ec.generate_private_key(ec.SECP256R1())

    def create(self, options, **changes):
        """Answer the options for a registration. `changes` replace members of the client data."""
        numbers = self.key.public_key().public_numbers()
        key = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        attested = bytes(16) + struct.pack(">H", len(self.id)) + self.id + cbor.encode(key)
        data = self._build_data(ATTESTED) + attested
        statement = cbor.encode({"fmt": "none", "attStmt": {}, "authData": data})
        client_data = self._build_client_data("webauthn.create", options, changes)
        return self._answer({"clientDataJSON": encode(client_data), "attestationObject": encode(statement)})

    def sign(self, options, **changes):
        """Answer the options for a check."""
        self.count += self.counts
        data = self._build_data(0)
        client_data = self._build_client_data("webauthn.get", options, changes)
        signature = self.key.sign(data + hashlib.sha256(client_data).digest(), ec.ECDSA(hashes.SHA256()))
        return self._answer(
            {
                "clientDataJSON": encode(client_data),
                "authenticatorData": encode(data),
                "signature": encode(signature),
            }
        )

    def _build_data(self, flags):
        flags |= USER_PRESENT | USER_VERIFIED
        return hashlib.sha256(self.host.encode()).digest() + struct.pack(">BI", flags, self.count)

    def _build_client_data(self, kind, options, changes):
        return json.dumps(
            {"type": kind, "challenge": options["challenge"], "origin": self.origin, **changes}
        ).encode()

    def _answer(self, response):
        return json.dumps(
            {"id": encode(self.id), "rawId": encode(self.id), "type": "public-key", "response": response}
        )
