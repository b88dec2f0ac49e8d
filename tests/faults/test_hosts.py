"""The network of the campaign `hosts`, its reading of beats, and a small run of it."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import closing

import pytest

from tests.faults.hosts.beats import BeatWatcher, find_two_leaders
from tests.faults.hosts.namespaces import NamespacesError, create_hosts, entered
from tests.faults.hosts.network import Network
from tests.faults.test_campaigns import run_campaign
from tests.working import wait_for

PORT = 5000


@pytest.fixture
def network(tmp_path):
    """Two hosts and the network between them."""
    try:
        hosts = create_hosts(["one", "two"])
    except NamespacesError as error:
        pytest.skip(f"This needs root and network namespaces: {error}")
    network = Network(hosts, seed=1, log=tmp_path / "router.log")
    yield network
    network.stop()


@pytest.fixture
def connection(network):
    """A connection from host `one` to a server on host `two` that sends back what it receives."""
    with entered(network.hosts["two"]):
        server = socket.create_server((network.hosts["two"].address, PORT))

    def answer(accepted):
        try:
            with accepted:
                while received := accepted.recv(100):
                    accepted.sendall(received)
        except OSError:
            return  # The network, or the test, is over.

    with closing(server), entered(network.hosts["one"]):
        assert socket.gethostname() == "one"
        client = socket.create_connection((network.hosts["two"].address, PORT), timeout=10)
        # Accepted before the server is closed: a connection that still waits then would be reset.
        accepted, _address = server.accept()
    threading.Thread(target=answer, args=[accepted], daemon=True).start()
    with closing(client):
        yield client


def measure_answer(connection):
    """Send a byte, and return the seconds until it has come back."""
    began = time.monotonic()
    connection.sendall(b"x")
    assert connection.recv(10) == b"x"
    return time.monotonic() - began


class TestTheNetwork:
    def test_it_delays_packets_each_way(self, network, connection):
        measure_answer(connection)
        network.set_rules(*network.make_rules("one", ["two"], delay_seconds=0.1))

        assert measure_answer(connection) >= 0.2

    @pytest.mark.parametrize("ways", [("there",), ("back",), ("there", "back")])
    def test_cut_packets_arrive_when_the_network_is_whole_again(self, network, connection, ways):
        network.set_rules(*network.make_rules("one", ["two"], ways=ways, loss=1.0))
        connection.settimeout(0.5)
        with pytest.raises(TimeoutError):
            measure_answer(connection)

        assert network.set_rules() > 0
        connection.settimeout(10)
        assert connection.recv(10) == b"x"

    def test_one_port_alone_may_be_cut(self, network, connection):
        network.set_rules(*network.make_rules("one", ["two"], loss=1.0, port=PORT + 1))
        measure_answer(connection)
        network.set_rules(*network.make_rules("one", ["two"], loss=1.0, port=PORT))
        connection.settimeout(0.5)

        with pytest.raises(TimeoutError):
            measure_answer(connection)

    def test_a_share_of_the_packets_is_lost(self, network, connection):
        network.set_rules(*network.make_rules("one", ["two"], loss=0.5))
        struck = 0
        while struck < 20:
            measure_answer(connection)
            struck += network.set_rules(*network.make_rules("one", ["two"], loss=0.5))


class TestTwoLeaders:
    """Times in seconds after the begin."""

    @staticmethod
    def find(**sent):
        return find_two_leaders({host: [(at, "sweep") for at in times] for host, times in sent.items()})

    def test_one_after_the_other_is_right(self):
        assert self.find(a=[0, 0.1, 5], b=[21, 21.1, 26]) == []

    def test_a_beat_that_sends_while_another_one_leads_is_found(self):
        (sentence,) = self.find(a=[0, 5, 5.2, 10], b=[5.1])

        assert "b sent sweep" in sentence

    def test_sendings_of_a_beat_are_read_from_its_log(self, tmp_path):
        log = tmp_path / "beat.log"
        line = "2026-11-30T10:35:07.456442Z [info     ] Scheduler: Sending due task {0} ({0}) [celery.beat]\n"
        log.write_text(line.format("one")[:60])
        watcher = BeatWatcher({"a": log})
        watcher.start()

        time.sleep(0.2)
        with log.open("a") as file:
            file.write(
                line.format("one")[60:] + "2026-11-30T10:35:08Z [info ] beat_leads\n" + line.format("two")
            )
        wait_for("two lines", lambda: len(watcher.sent.get("a", ())) == 2)
        watcher.stopping.set()

        assert [name for _at, name in watcher.sent["a"]] == ["one", "two"]


@pytest.mark.story
@pytest.mark.timeout(600)
def test_a_host_that_is_cut_off_refuses_and_holds_nothing_up(network, tmp_path):
    """`network` skips where namespaces cannot be made."""
    report = run_campaign(
        tmp_path, "hosts", "--only", "cut,redis", "--seconds", "30", "--vms", "12", seconds=550
    )

    cut, without_redis = (figures for title, figures in report.items() if "host" in title)
    # A small share may be refused because two users clicked at once.
    assert cut["app-a: answered"] >= 20
    assert "app-b (struck): answered" not in cut
    # One that was on its way when the network was cut may be refused late; the next ones are refused.
    assert cut["app-b (struck): 503 database_unavailable"] >= 1
    assert cut["lock of an interrupted transaction was free after"] != "never"
    assert without_redis["app-b (struck): answered"] >= 20
