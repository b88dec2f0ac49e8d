"""Public keys: what is accepted, what is refused and why, and whose they are."""

from __future__ import annotations

import base64
import logging
import struct

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    SSHCertificateBuilder,
    SSHCertificateType,
)
from django.conf import settings
from rest_framework.test import APIClient

from tenants.scoping import Role
from tests.factories import MembershipFactory
from vms.models import SSHKey
from vms.public_keys import PublicKeyError, parse_public_key

pytestmark = pytest.mark.django_db
URL = "/api/v1/ssh-keys/"

PRIVATE = ed25519.Ed25519PrivateKey.generate()
RSA_PRIVATE = rsa.generate_private_key(65537, 2048)


def public_text(private):
    return private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def security_key():
    """Return a key as of a security key, whose private half no file holds."""

    def field(content):
        return struct.pack(">I", len(content)) + content

    kind = b"sk-ssh-ed25519@openssh.com"
    raw = PRIVATE.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return f"{kind.decode()} {base64.b64encode(field(kind) + field(raw) + field(b'ssh:')).decode()}"


def certificate():
    builder = SSHCertificateBuilder().public_key(PRIVATE.public_key()).type(SSHCertificateType.USER)
    builder = builder.serial(1).key_id(b"ann").valid_for_all_principals()
    signed = builder.valid_after(0).valid_before(2**40).sign(PRIVATE)
    return signed.public_bytes().decode()


def pem(private, form=PrivateFormat.OpenSSH):
    return private.private_bytes(Encoding.PEM, form, NoEncryption()).decode()


ED25519 = public_text(PRIVATE)


@pytest.fixture
def member():
    return MembershipFactory(role=Role.ADMIN)


@pytest.fixture
def client(member):
    return client_of(member)


def client_of(member):
    client = APIClient()
    client.force_authenticate(member.user)
    return client


def add(client, text=ED25519, name="laptop", **fields):
    return client.post(URL, {"name": name, "public_key": text, **fields}, format="json")


@pytest.mark.parametrize(
    ("text", "kind", "bits"),
    [
        (ED25519, "ssh-ed25519", 256),
        (ED25519 + " ann@laptop some words", "ssh-ed25519", 256),
        (f"\r\n  {ED25519}\t ann@laptop \r\n", "ssh-ed25519", 256),
        (public_text(ec.generate_private_key(ec.SECP521R1())), "ecdsa-sha2-nistp521", 521),
        (public_text(RSA_PRIVATE), "ssh-rsa", 2048),
        (security_key(), "sk-ssh-ed25519@openssh.com", 256),
    ],
    ids=lambda value: str(value)[:12].strip(),
)
def test_openssh_keys_are_accepted_without_their_comment(client, text, kind, bits):
    answer = add(client, text)

    assert answer.status_code == 201, answer.json()
    key = answer.json()
    assert (key["type"], key["bits"], key["tenant"], key["last_used_at"]) == (kind, bits, None, None)
    assert key["fingerprint"].startswith("SHA256:")
    assert key["public_key"] == " ".join(text.split()[:2])


def test_the_fingerprint_is_that_of_ssh_keygen():
    # From `ssh-keygen -lf` of OpenSSH 9.2.
    text = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"

    assert parse_public_key(text).fingerprint == "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"


REFUSED = {
    "private key of OpenSSH": (pem(PRIVATE), "private key"),
    "private key in PKCS 8": (pem(PRIVATE, PrivateFormat.PKCS8), "private key"),
    "private key in the old format": (pem(RSA_PRIVATE, PrivateFormat.TraditionalOpenSSL), "private key"),
    "private key of PuTTY": ("PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n", "private key"),
    "private key without its first line": ("".join(pem(PRIVATE).splitlines()[1:-1]), "private key"),
    "private key in one line": (pem(PRIVATE).replace("\n", " "), "private key"),
    "16 kB": (f"{ED25519} {'x' * 16_384}", "8000"),
    "DSA": (f"ssh-dss {base64.b64encode(struct.pack('>I', 7) + b'ssh-dss').decode()}", "DSA"),
    "RSA-1024": (public_text(rsa.generate_private_key(65537, 1024)), "1024"),  # noqa: S505 - to be refused.
    "options": (f'command="id",no-pty {ED25519}', "Options"),
    "a host in front": (f"example.org {ED25519}", "Options"),
    "two keys": (f"{ED25519}\n{public_text(RSA_PRIVATE)}", "2 lines"),
    "two keys in one line": (f"{ED25519} {public_text(RSA_PRIVATE)}", "there are 2"),
    "certificate": (certificate(), "certificate"),
    "PEM": (
        RSA_PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        "ssh-keygen -i",
    ),
    "no key": ("hello world", "no public key"),
    "type alone": ("ssh-ed25519", "damaged"),
    "cut off": (ED25519[:-10], "damaged"),
    "another type in front": (ED25519.replace("ssh-ed25519", "ssh-rsa"), "damaged"),
    "no base64": ("ssh-ed25519 !!!!", "damaged"),
    "no ASCII": ("ssh-ed25519 ÄÖÜ", "damaged"),
    "control characters": (ED25519 + " ann\x07", "Control"),
    "nothing": ("", "blank"),
    "a number": (5, "text"),
    "a list": ([ED25519], "text"),
    "null": (None, "null"),
}


@pytest.mark.parametrize(("text", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_refused_key_is_neither_stored_nor_repeated_nor_logged(client, caplog, text, reason):
    caplog.set_level(logging.DEBUG)

    answer = add(client, text)

    assert answer.status_code == 400
    (message,) = answer.json()["errors"]["public_key"]
    assert reason in message
    assert not SSHKey.objects.exists()
    body = str(text).split()[-1][:40] if isinstance(text, str) and len(text) > 100 else "\x00"
    assert body not in answer.content.decode() + caplog.text


def test_other_spellings_of_the_same_bytes_are_refused():
    """Otherwise one key could be added twice."""
    kind, body = public_text(RSA_PRIVATE).split()
    content = base64.b64decode(body)

    with pytest.raises(PublicKeyError):
        parse_public_key(f"{kind} {base64.b64encode(content + b'x').decode()}")


def test_the_same_key_twice_names_the_first(client, member):
    add(client)

    again = add(client, name="other")
    of_tenant = add(client, tenant=str(member.tenant.pk))

    assert again.status_code == 400
    assert "laptop" in again.json()["errors"]["public_key"][0]
    assert of_tenant.status_code == 201, "of another owner"


def test_more_keys_than_the_limit_are_refused(client, member, monkeypatch):
    monkeypatch.setitem(settings.TENANT_ROWS_AT_MOST, "ssh_keys", 1)
    for owner in ({}, {"tenant": str(member.tenant.pk)}):
        assert add(client, **owner).status_code == 201

        answer = add(client, public_text(RSA_PRIVATE), **owner)

        assert (answer.status_code, answer.json()["code"]) == (409, "limit_reached")


def test_a_persons_keys_are_seen_and_changed_by_that_person_alone(client, member):
    own = add(client).json()["id"]
    colleague = client_of(MembershipFactory(tenant=member.tenant, role=Role.ADMIN))

    assert colleague.get(URL).json()["count"] == 0
    for method, body in (("get", None), ("patch", {"name": "x"}), ("delete", None)):
        assert getattr(colleague, method)(f"{URL}{own}/", body, format="json").status_code == 404
    assert client.patch(f"{URL}{own}/", {"name": "desk"}, format="json").json()["name"] == "desk"
    assert client.delete(f"{URL}{own}/").status_code == 204


def test_a_viewer_keeps_keys_of_their_own_and_sees_the_tenants(client, member):
    shared = add(client, tenant=str(member.tenant.pk)).json()["id"]
    viewer = client_of(MembershipFactory(tenant=member.tenant, role=Role.VIEWER))

    own = add(viewer)

    assert own.status_code == 201
    assert {key["id"] for key in viewer.get(URL).json()["results"]} == {own.json()["id"], shared}
    assert viewer.delete(f"{URL}{own.json()['id']}/").status_code == 204
    assert viewer.delete(f"{URL}{shared}/").status_code == 403
    assert add(viewer, tenant=str(member.tenant.pk)).status_code == 403


def test_a_key_for_another_tenant_is_refused_as_for_one_that_never_was(client):
    other = MembershipFactory().tenant.pk
    never = "11111111-1111-1111-1111-111111111111"

    answers = [add(client, tenant=str(one)) for one in (other, never)]

    told = [
        str(answer.json()["errors"]).replace(str(one), "")
        for answer, one in zip(answers, (other, never), strict=True)
    ]
    assert told[0] == told[1]
    assert [answer.status_code for answer in answers] == [400, 400]
