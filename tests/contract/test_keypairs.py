"""Key pairs: imported once, however often they are requested."""

import contextlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from openstack_client import CloudKeypairExistsError, InvalidCloudRequestError


def make_public_key():
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


@pytest.fixture
def keypair_name(cloud, tag):
    """A name for a key pair, which is deleted at the end of the test."""
    yield tag
    with contextlib.suppress(Exception):
        cloud.compute.delete_keypair(tag)


def test_whole_life(cloud, sdk, keypair_name):
    public_key = make_public_key()
    assert cloud.compute.find_keypair(keypair_name) is None
    made = cloud.compute.create_keypair(keypair_name, f"{public_key} ann@laptop\n")
    assert (made.name, made.type, made.public_key) == (keypair_name, "ssh", f"{public_key} ann@laptop")
    assert made.fingerprint == sdk.compute.get_keypair(keypair_name).fingerprint
    assert len(made.fingerprint.split(":")) == 16
    assert cloud.compute.find_keypair(keypair_name) == made
    assert made in cloud.compute.list_keypairs()
    for _twice in range(2):
        cloud.compute.delete_keypair(keypair_name)
    assert cloud.compute.find_keypair(keypair_name) is None


def test_second_import_of_the_same_key_returns_the_first(cloud, keypair_name):
    public_key = make_public_key()
    first = cloud.compute.create_keypair(keypair_name, f"{public_key} laptop")
    assert cloud.compute.create_keypair(keypair_name, f"{public_key} another comment") == first


def test_name_with_another_key_is_refused(cloud, keypair_name):
    first = cloud.compute.create_keypair(keypair_name, make_public_key())
    with pytest.raises(CloudKeypairExistsError, match="with another key") as caught:
        cloud.compute.create_keypair(keypair_name, make_public_key())
    assert caught.value.status_code == 409 and caught.value.code == "keypair_exists"
    assert cloud.compute.find_keypair(keypair_name) == first


@pytest.mark.parametrize("public_key", ["nonsense", "ssh-rsa nonsense", "ssh-ed25519 AAAA"])
def test_what_is_no_key_is_refused(cloud, keypair_name, public_key):
    with pytest.raises(InvalidCloudRequestError, match="Keypair data is invalid") as caught:
        cloud.compute.create_keypair(keypair_name, public_key)
    assert caught.value.status_code == 400


def test_name_of_another_form_is_refused_as_nova_does(cloud, credentials):
    for name in ("a@b", "SHA256:abc", "a/b", ""):
        with pytest.raises(InvalidCloudRequestError) as caught:
            cloud._transport.request(
                "compute",
                "POST",
                "/os-keypairs",
                doing="try",
                json={"keypair": {"name": name, "public_key": make_public_key()}},
                microversion="2.69",
            )
        assert caught.value.status_code == 400
