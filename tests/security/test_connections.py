"""Connections that are checked where they are made: against real sockets on loopback, with a resolver of the test's."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from security import policies
from security.addresses import AddressPolicy, Refusal, parse_networks
from security.connections import CloudAddressRefusedError, open_checked

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


def test_a_connection_goes_to_what_is_allowed_and_to_nothing_beside_it():
    with listening("127.0.0.2") as port, open_checked("127.0.0.2", port, policy=ONLY_2, timeout=5) as made:
        assert made.getpeername() == ("127.0.0.2", port)
    with listening("127.0.0.3") as port, pytest.raises(CloudAddressRefusedError, match=r"127\.0\.0\.3"):
        open_checked("127.0.0.3", port, policy=ONLY_2, timeout=5)


def test_a_name_is_judged_by_what_it_leads_to_now_and_each_time():
    policy = AddressPolicy(allowed=ONLY_2.allowed, resolve=resolving(["127.0.0.2"], ["127.0.0.3"]))

    with listening("127.0.0.2") as port:
        with open_checked("cloud.example", port, policy=policy, timeout=5) as made:
            assert made.getpeername()[0] == "127.0.0.2"
        with pytest.raises(CloudAddressRefusedError) as refused:
            open_checked("cloud.example", port, policy=policy, timeout=5)

    assert "cloud.example" in str(refused.value) and "127.0.0.3" in str(refused.value)


def test_a_name_with_one_refused_address_is_refused_whole():
    policy = AddressPolicy(allowed=ONLY_2.allowed, resolve=resolving(["127.0.0.2", "127.0.0.3"]))

    with listening("127.0.0.2") as port, pytest.raises(CloudAddressRefusedError):
        open_checked("cloud.example", port, policy=policy, timeout=5)


def test_the_second_address_is_tried_when_nothing_listens_at_the_first():
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
    with pytest.raises(CloudAddressRefusedError):
        open_checked(host, 80, policy=ONLY_2, timeout=1)


@pytest.mark.parametrize("port", [0, -1, 65536, 65616])
def test_a_port_that_is_none_is_refused(port):
    with pytest.raises(CloudAddressRefusedError):
        open_checked("127.0.0.2", port, policy=ONLY_2, timeout=1)


@pytest.mark.parametrize("name", ["a" * 64, "", "x..y", "\ud800"])
def test_what_is_no_name_is_an_unknown_one(name):
    with pytest.raises(OSError):
        open_checked(name, 80, policy=AddressPolicy(), timeout=1)


def test_an_address_that_carries_another_one_is_judged_by_that_one():
    policy = AddressPolicy()

    assert policy.refusal_of("64:ff9b::8.8.8.8") is None
    assert policy.refusal_of("2002:808:808::") is None
    assert policy.refusal_of("64:ff9b::127.0.0.1") is Refusal.LOCAL
    assert policy.refusal_of("2002:a9fe:a9fe::") is Refusal.DENIED


def test_the_portals_own_servers_are_refused_at_every_address_of_this_machine_and_only_at_their_ports():
    own = AddressPolicy(
        allow_local=True, allowed=parse_networks(["127.0.0.0/8"]), own_servers=lambda: [("127.0.0.1", 5432)]
    )

    for address in ("127.0.0.1", "127.9.9.9", "::ffff:127.0.0.1", "::1"):
        assert own.refusal_of(address, 5432) is Refusal.OWN_SERVER
    assert own.refusal_of("127.0.0.1", 5433) is None
    assert own.refusal_of("203.0.113.5", 5432) is None


def test_a_database_elsewhere_is_refused_whole_unless_local_addresses_are_allowed():
    policy = AddressPolicy(own_servers=lambda: [("10.0.0.5", 5432)])

    assert policy.refusal_of("10.0.0.5", 22) is Refusal.OWN_SERVER
    assert policy.refusal_of("10.0.0.6", 22) is None


def test_this_machines_own_address_is_local(monkeypatch):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Sends nothing: it only makes the kernel choose the interface that would be used.
            probe.connect(("203.0.113.5", 9))
        except OSError:
            pytest.skip("this machine has no network")
        own = probe.getsockname()[0]

    assert AddressPolicy().refusal_of(own) is Refusal.LOCAL
    assert AddressPolicy(allow_local=True).refusal_of(own) is None


def test_the_portals_own_servers_are_those_of_its_settings(monkeypatch):
    settings = SimpleNamespace(
        DATABASES={
            "default": {"HOST": "127.0.0.1,127.0.0.2", "PORT": "5432,6432"},
            "by-socket": {"HOST": "/run/postgresql", "PORT": ""},
            "by-default": {"HOST": "127.0.0.3", "PORT": ""},
        },
        REDIS_URL="rediss://:secret@127.0.0.4/0;redis://127.0.0.5:6390/1",
    )
    monkeypatch.setattr(policies, "settings", settings)

    assert set(policies._own_servers()) == {
        ("127.0.0.1", 5432),
        ("127.0.0.2", 6432),
        ("127.0.0.3", 5432),
        ("127.0.0.4", 6379),
        ("127.0.0.5", 6390),
    }
