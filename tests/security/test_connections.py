"""Checked connections, with real sockets on loopback and a resolver of the test."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from security import policies
from security.addresses import AddressPolicy, Refusal, parse_networks
from security.connections import AddressRefusedError, open_checked

ONLY_2 = AddressPolicy(allowed=parse_networks(["127.0.0.2"]))


@contextmanager
def listening(address):
    with socket.create_server((address, 0)) as listener:
        yield listener.getsockname()[1]


def resolving(*answers):
    """A resolver that gives these lists of addresses one after another, whatever it is asked for."""
    waiting = list(answers)

    def resolve(_host, port, **_more):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in waiting.pop(0)]

    return resolve


def test_only_allowed_addresses_are_connected_to():
    with listening("127.0.0.2") as port, open_checked("127.0.0.2", port, policy=ONLY_2, timeout=5) as made:
        assert made.getpeername() == ("127.0.0.2", port)
    with listening("127.0.0.3") as port, pytest.raises(AddressRefusedError, match=r"127\.0\.0\.3"):
        open_checked("127.0.0.3", port, policy=ONLY_2, timeout=5)


def test_name_is_resolved_and_checked_each_time():
    policy = AddressPolicy(allowed=ONLY_2.allowed, resolve=resolving(["127.0.0.2"], ["127.0.0.3"]))

    with listening("127.0.0.2") as port:
        with open_checked("cloud.example", port, policy=policy, timeout=5) as made:
            assert made.getpeername()[0] == "127.0.0.2"
        with pytest.raises(AddressRefusedError) as refused:
            open_checked("cloud.example", port, policy=policy, timeout=5)

    assert "cloud.example" in str(refused.value) and "127.0.0.3" in str(refused.value)


def test_name_with_one_refused_address_is_refused():
    policy = AddressPolicy(allowed=ONLY_2.allowed, resolve=resolving(["127.0.0.2", "127.0.0.3"]))

    with listening("127.0.0.2") as port, pytest.raises(AddressRefusedError):
        open_checked("cloud.example", port, policy=policy, timeout=5)


def test_second_address_is_tried_when_the_first_refuses():
    policy = AddressPolicy(allow_local=True, resolve=resolving(["127.0.0.4", "127.0.0.2"]))

    with listening("127.0.0.2") as port, open_checked("x.example", port, policy=policy, timeout=5) as made:
        assert made.getpeername()[0] == "127.0.0.2"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.3",
        "127.3",
        "2130706435",
        "0x7f000003",
        "0177.0.0.3",
        "::ffff:127.0.0.3",
        "[::ffff:7f00:3]",
        "64:ff9b::127.0.0.3",
        "64:ff9b:1::127.0.0.3",
        "2002:7f00:3::",
        "::ffff:0:127.0.0.3",
        "::127.0.0.3",
        "::1",
        "::",
        "0.0.0.0",
        "0.0.0.7",
        "fe80::1%lo",
        "fec0::1",
        "127.0.0.1",
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "fd00:ec2::254",
        "fd20:ce::254",
        "255.255.255.255",
        "240.0.0.1",
        "224.0.0.1",
        "ff02::1",
    ],
)
def test_every_notation_of_a_refused_address_is_refused(host):
    with pytest.raises(AddressRefusedError):
        open_checked(host, 80, policy=ONLY_2, timeout=1)


@pytest.mark.parametrize("port", [0, -1, 65536, 65616])
def test_invalid_port_is_refused(port):
    with pytest.raises(AddressRefusedError):
        open_checked("127.0.0.2", port, policy=ONLY_2, timeout=1)


@pytest.mark.parametrize("name", ["a" * 64, "", "x..y", "\ud800"])
def test_invalid_name_is_unknown(name):
    with pytest.raises(OSError):
        open_checked(name, 80, policy=AddressPolicy(), timeout=1)


def test_embedded_address_is_checked():
    policy = AddressPolicy()

    assert policy.find_refusal("64:ff9b::8.8.8.8") is None
    assert policy.find_refusal("2002:808:808::") is None
    assert policy.find_refusal("64:ff9b::127.0.0.1") is Refusal.LOCAL
    assert policy.find_refusal("2002:a9fe:a9fe::") is Refusal.DENIED


def test_own_servers_are_refused_at_all_own_addresses_but_only_at_their_ports():
    own = AddressPolicy(
        allow_local=True, allowed=parse_networks(["127.0.0.0/8"]), own_servers=lambda: [("127.0.0.1", 5432)]
    )

    for address in ("127.0.0.1", "127.9.9.9", "::ffff:127.0.0.1", "::1"):
        assert own.find_refusal(address, 5432) is Refusal.OWN_SERVER
    assert own.find_refusal("127.0.0.1", 5433) is None
    assert own.find_refusal("203.0.113.5", 5432) is None


def test_remote_database_host_is_refused_unless_local_addresses_are_allowed():
    policy = AddressPolicy(own_servers=lambda: [("10.0.0.5", 5432)])

    assert policy.find_refusal("10.0.0.5", 22) is Refusal.OWN_SERVER
    assert policy.find_refusal("10.0.0.6", 22) is None


def test_this_machines_own_address_is_local(monkeypatch):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Sends nothing: it only makes the kernel choose the interface that would be used.
            probe.connect(("203.0.113.5", 9))
        except OSError:
            pytest.skip("this machine has no network")
        own = probe.getsockname()[0]

    assert AddressPolicy().find_refusal(own) is Refusal.LOCAL
    assert AddressPolicy(allow_local=True).find_refusal(own) is None


def test_own_servers_are_read_from_the_settings(monkeypatch):
    settings = SimpleNamespace(
        DATABASES={
            "default": {"HOST": "127.0.0.1,127.0.0.2", "PORT": "5432,6432"},
            "by-socket": {"HOST": "/run/postgresql", "PORT": ""},
            "by-default": {"HOST": "127.0.0.3", "PORT": ""},
        },
        DATABASE_DIRECT={"HOST": "127.0.0.6", "PORT": 5433},
        REDIS_URL="rediss://:secret@127.0.0.4/0;redis://127.0.0.5:6390/1",
        REDIS_SENTINELS=[],
        RABBITMQ_URL="amqps://portal:secret@127.0.0.7/portal",
    )
    monkeypatch.setattr(policies, "settings", settings)

    assert set(policies._list_own_servers()) == {
        ("127.0.0.1", 5432),
        ("127.0.0.2", 6432),
        ("127.0.0.3", 5432),
        ("127.0.0.4", 6379),
        ("127.0.0.5", 6390),
        ("127.0.0.6", 5433),
        ("127.0.0.7", 5671),
    }
