"""Certificates for servers of tests on 127.0.0.1."""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


def write_certificates(folder: Path) -> None:
    """Write `ca.pem`, `server.pem` and `server.key` of 127.0.0.1, signed by it, and `other.pem`, another authority."""
    now = dt.datetime.now(dt.UTC)

    def make(name, issuer, issuer_key, key, *extensions):
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder(
            subject_name=subject,
            issuer_name=issuer or subject,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - dt.timedelta(days=1),
            not_valid_after=now + dt.timedelta(days=1),
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(issuer_key, hashes.SHA256())

    authority = (x509.BasicConstraints(ca=True, path_length=None), True)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
    ca = make("Example CA", None, keys[0], keys[0], authority)
    other = make("Other CA", None, keys[1], keys[1], authority)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    server = make("127.0.0.1", ca.subject, keys[0], keys[2], (names, False))
    for name, one in (("ca", ca), ("other", other), ("server", server)):
        (folder / f"{name}.pem").write_bytes(one.public_bytes(Encoding.PEM))
    private = keys[2].private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    (folder / "server.key").write_bytes(private)
