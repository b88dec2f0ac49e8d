"""The executor `ansible` over real sshds on loopback: how each trouble is called, and which version answers afterwards.

Ansible costs seconds, so one run serves all hosts, each with a trouble of its own, and one test looks at all of it.
"""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from deploys.executors import Code, Credentials, Order, Release, Target, create_executor, ssh
from deploys.executors.ansible import AnsibleExecutor, dump_unsafe_yaml
from tests.deploys.loopback import (
    INSTALL_SSHD,
    SSHD,
    KeyPair,
    archive,
    deploy_side_by_side,
    loopback,
    service_archive,
)
from tests.deploys.test_executors import TARGET
from tests.servers import free_port
from tests.stories import ALL

REPOSITORY = Path(__file__).resolve().parents[2]
needs_sshd = pytest.mark.skipif(SSHD is None, reason=INSTALL_SSHD)
pytestmark = pytest.mark.timeout(180)

# A disk for the releases that has 200 kB, seen by what sshd runs alone.
SMALL_DISK = (
    "unshare --mount {user} sh -c "
    '\'mkdir -p "$0" && mount -t tmpfs -o size=200k none "$0" && exec sh -c "$SSH_ORIGINAL_COMMAND"\' {releases}'
)
UNSHARE = ["unshare", "--mount", *([] if os.getuid() == 0 else ["--map-root-user"])]
CAN_MOUNT = (
    shutil.which("unshare") is not None
    and subprocess.run(
        [*UNSHARE, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
    ).returncode
    == 0
)


def executor(**options):
    return create_executor("ansible", {"allow_local": True, "restart_seconds": 10, **options})


@pytest.fixture
def place():
    # A short path, as ssh needs for its sockets.
    with tempfile.TemporaryDirectory(prefix="portal-hosts-") as folder, loopback(Path(folder)) as found:
        yield found


# How each host's part ends: the code, the version that runs as far as the portal knows, and which one answers.
ENDS = {
    "upgraded": (Code.OK, "2.0", "2.0"),
    "already": (Code.OK, "2.0", "2.0"),
    "reverted": (Code.OK, "1.0", "1.0"),
    "gone": (Code.ARTIFACT_GONE, "1.0", "1.0"),
    "wrong-sum": (Code.ARTIFACT_WRONG_SUM, "1.0", "1.0"),
    "full": (Code.DISK_FULL, "1.0", "1.0"),
    "unhealthy": (Code.UNHEALTHY, "1.0", "1.0"),
    "flapping": (Code.FLAPPING, "1.0", "1.0"),
    "first": (Code.UNHEALTHY, "", ""),
    "stuck": (Code.TIMED_OUT, None, "1.0"),
    "refused": (Code.KEY_REFUSED, None, "1.0"),
    "stranger": (Code.UNKNOWN_HOST_KEY, None, "1.0"),
    "off": (Code.UNREACHABLE, None, ""),
    "silent": (Code.UNREACHABLE, None, ""),
}


# The troubles that are tried by default; what the module on the host finds wrong has tests of its own (test_release_module.py).
ALWAYS_TRIED = {"upgraded", "unhealthy", "stuck", "refused"}


class Hosts:
    """The hosts of `ENDS` that are tried, each in the state that its trouble needs, and what is ordered for them."""

    def __init__(self, place, marker, tried):
        self.place, self.marker = place, marker
        self.orders = {}
        self.packed = {label: service_archive(label) for label in ("1.0", "2.0")}
        self.one = place.artifacts.add("1.0", self.packed["1.0"])
        self.two = place.artifacts.add("2.0", self.packed["2.0"], query="?signature=s1gnatur3s1gnatur3")
        self.releases = {"1.0": self.one, "2.0": self.two}
        self.silent = socket.create_server(("127.0.0.1", 0))
        set_up = {
            "upgraded": self.upgraded,
            "already": lambda: self.host("already", self.two, before="2.0"),
            "reverted": self.reverted,
            "gone": lambda: self.host(
                "gone", replace(self.two, artifact_url=f"{place.artifacts.url}/nowhere.tar.gz")
            ),
            "wrong-sum": lambda: self.host("wrong-sum", replace(self.two, sha256="0" * 64)),
            "full": self.full,
            "unhealthy": lambda: self.host("unhealthy", self.behaving("broken")),
            "flapping": lambda: self.host("flapping", self.behaving("flapping")),
            "first": lambda: self.host("first", self.behaving("broken"), before=""),
            "stuck": self.stuck,
            "refused": self.refused,
            "stranger": self.stranger,
            # Nothing listens on the one's port, and on the other's listens one that never says a word.
            "off": lambda: self.elsewhere("off", free_port()),
            "silent": lambda: self.elsewhere("silent", self.silent.getsockname()[1]),
        }
        for name in tried:
            set_up[name]()
        for host in place.hosts.values():
            host.wait()

    def behaving(self, manner):
        return self.place.artifacts.add(manner, service_archive(manner, manner))

    def upgraded(self):
        host = self.host("upgraded", self.two)
        # What a tenant could write into a setting, in the hope that the portal evaluates it.
        template = "{{ lookup('ansible.builtin.pipe', 'touch MARKER') }}".replace("MARKER", str(self.marker))
        self.change(
            "upgraded",
            settings={"restart_command": [*host.restart_command, template]},
            health=replace(
                self.orders["upgraded"].health,
                path="/" + "{{lookup('pipe','true>MARKER')}}".replace("MARKER", str(self.marker)),
            ),
        )

    def reverted(self):
        """An upgrade that died after the link was switched and before the service was restarted."""
        host = self.host("reverted", self.one)
        host.deploy_died("2.0", self.packed["2.0"], self.two.sha256)
        self.change("reverted", settings={"restart_command": host.restart_command, "health_from": "portal"})

    def full(self):
        if not CAN_MOUNT:
            return
        releases = self.place.folder / "full" / "service" / "releases"
        user = "" if os.getuid() == 0 else "--map-root-user"
        big = self.place.artifacts.add("big", archive({"zeros": b"\0" * 1_000_000}))
        self.host("full", big, wrapper=SMALL_DISK.format(user=user, releases=releases))

    def stuck(self):
        host = self.host("stuck", self.two)
        hang = f'[ "$PORTAL_VERSION" = 2.0 ] && sleep 60; exec sh {host.folder}/restart.sh'
        self.change("stuck", settings={"restart_command": ["/bin/sh", "-c", hang]}, auto_revert=False)

    def refused(self):
        host = self.host("refused", self.two)
        self.change("refused", credentials=Credentials(KeyPair.new().private, host.keys.public))

    def stranger(self):
        self.host("stranger", self.two)
        self.change("stranger", credentials=Credentials(self.place.key.private, KeyPair.new().public))

    def host(self, name, release, *, before="1.0", wrapper=""):
        host = self.place.host(name, wrapper=wrapper)
        if before:
            host.run_by_hand(before, self.packed[before], self.releases[before].sha256)
        self.orders[name] = host.order(release, self.place.key)
        return host

    def change(self, name, **values):
        self.orders[name] = replace(self.orders[name], **values)

    def elsewhere(self, name, port):
        order = self.orders["upgraded"]
        self.orders[name] = replace(order, target=replace(order.target, name=name, ssh_port=port))

    def answers(self, name):
        return self.place.hosts[name].answers() if name in self.place.hosts else ""


@needs_sshd
def test_each_trouble_has_its_code_and_what_ran_before_runs_on(place, tmp_path):
    marker = tmp_path / "evaluated"
    hosts = Hosts(place, marker, [name for name in ENDS if ALL or name in ALWAYS_TRIED])
    lines = {}

    outcomes = deploy_side_by_side(executor(), list(hosts.orders.values()), lines)
    hosts.silent.close()

    said = "\n".join(f"{name}: {line}" for name, outcome in outcomes.items() for line in outcome.lines)
    found = {name: (end.code, end.running, hosts.answers(name)) for name, end in outcomes.items()}
    assert found == {name: ENDS[name] for name in hosts.orders}, said
    # One that runs the version was left alone.
    changed = {name: outcomes[name].changed for name in outcomes.keys() & {"already", "upgraded"}}
    assert changed == {name: name == "upgraded" for name in changed}
    assert not marker.exists()

    # Lines come live, and hold no secret.
    assert tuple(lines["upgraded"]) == outcomes["upgraded"].lines
    assert "Fetch, verify and unpack: changed" in lines["upgraded"]
    assert "restarted with password=***" in lines["upgraded"]
    for secret in ["s1gnatur3", "hunter2", *place.key.private.splitlines()[1:-1]]:
        assert secret not in said + repr(outcomes)

    # Nothing half-done stays; only where nothing was put back, the host remembers what ran before.
    under_way = {
        name for name in place.hosts if (place.hosts[name].service_folder / "under_way").is_symlink()
    }
    assert under_way == {"stuck"}
    assert (place.hosts["stuck"].service_folder / "under_way").readlink().name == "1.0"
    assert not list(place.folder.glob("*/service/releases/.*"))


def test_the_portals_own_machine_is_refused_unless_it_is_allowed():
    order = Order(Target(**{**TARGET, "ip": "169.254.169.254"}), Release("1.0", "http://x/y", "0" * 64))

    assert executor(allow_local=False).deploy(order, print).code is Code.ADDRESS_REFUSED


def processes_with(text):
    """The processes in whose arguments or surroundings a text stands."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                if text in (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


@needs_sshd
@pytest.mark.story
def test_a_worker_that_is_killed_leaves_nothing_and_the_next_one_takes_it_up(place, tmp_path):
    host = place.host("killed")
    packed = service_archive("1.0")
    host.run_by_hand("1.0", packed, place.artifacts.add("1.0", packed).sha256)
    host.wait()
    # A short path, as ssh needs for its sockets.
    temporary = Path(tempfile.mkdtemp(prefix="portal-worker-"))
    release = place.artifacts.add("3.0", service_archive("3.0"))
    slow = (
        f"touch {tmp_path}/restarting; [ -e {tmp_path}/quick ] || sleep 30; exec sh {host.folder}/restart.sh"
    )
    order = host.order(release, place.key, settings={"restart_command": ["/bin/sh", "-c", slow]})
    worker = """
import pickle, sys
import django
django.setup()
from deploys.executors import create_executor
create_executor("ansible", {"allow_local": True}).deploy(pickle.load(sys.stdin.buffer), print)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", worker],
        stdin=subprocess.PIPE,
        cwd=REPOSITORY,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "portal.settings", "TMPDIR": str(temporary)},
    )
    process.stdin.write(pickle.dumps(order))
    process.stdin.close()
    deadline = time.monotonic() + 60
    while not (tmp_path / "restarting").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    assert list(temporary.iterdir())

    process.send_signal(signal.SIGKILL)
    process.wait()

    deadline = time.monotonic() + 10
    while processes_with(temporary.name.encode()) or list(temporary.iterdir()):
        assert time.monotonic() < deadline, "Something goes on deploying."
        time.sleep(0.05)
    assert (host.service_folder / "under_way").readlink().name == "1.0"
    assert host.answers() == "1.0"

    temporary.rmdir()
    (tmp_path / "quick").touch()
    outcome = executor().deploy(order, lambda _line: None)
    assert (outcome.code, outcome.running, host.answers()) == (Code.OK, "3.0", "3.0")


@needs_sshd
def test_a_playbook_of_the_operators_own(place, tmp_path):
    playbook = tmp_path / "own.yml"
    playbook.write_text("""
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.command: {argv: [echo, "{{ portal_service }} {{ portal_version }} on {{ portal_host }}"]}
    - ansible.builtin.set_fact: {portal_code: disk_full, portal_running: "1.5"}
      when: portal_host == "small"
    - ansible.builtin.fail: {msg: There is no room.}
      when: portal_host == "small"
""")
    release = place.artifacts.add("4.0", b"")
    settings = {"playbook": "own"}
    orders = [place.host(name).order(release, place.key, settings=settings) for name in ("large", "small")]
    for host in place.hosts.values():
        host.wait()

    outcomes = deploy_side_by_side(executor(playbooks={"own": str(playbook)}), orders)

    assert (outcomes["large"].code, outcomes["large"].running) == (Code.OK, "4.0")
    assert "shop 4.0 on large" in outcomes["large"].lines
    assert (outcomes["small"].code, outcomes["small"].running) == (Code.DISK_FULL, "1.5")
    assert "There is no room." in outcomes["small"].message


def test_settings_are_checked_by_field():
    it = AnsibleExecutor()

    assert (
        it.check_settings({"unit": "shop@1.service", "unit_scope": "user", "keep": 5, "become": True}) == {}
    )
    assert it.check_settings({"restart_command": ["/bin/sh", "-c", "it's fine {{ x }}"]}) == {}
    assert set(it.check_settings({})) == {"unit"}
    wrong = {
        "playbook": "/etc/shadow",
        "unit": "a b",
        "unit_scope": "all",
        "become": "yes",
        "restart_command": "rm -rf",
        "keep": 1,
        "health_from": "moon",
        "health_ip": "{{ x }}",
        "python": "python3 -c",
        "other": 1,
    }
    assert set(it.check_settings(wrong)) == set(wrong)


def test_every_text_is_marked_and_read_back_as_it_was():
    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!unsafe", lambda loader, node: ("unsafe", loader.construct_scalar(node)))
    value = {"a": 'x"\\ {{ y }} é 😀 #: -', "b": ["", 1, True, None, 1.5], "c": {"d": "&*!%@`"}}

    assert yaml.load(dump_unsafe_yaml(value), Loader) == {  # noqa: S506 - a safe loader with one more tag.
        "a": ("unsafe", value["a"]),
        "b": ["", 1, True, None, 1.5],
        "c": {"d": ("unsafe", "&*!%@`")},
    }


def test_known_hosts_are_taken_as_keys_or_as_lines():
    usual, other = Target(**TARGET), Target(**TARGET, ssh_port=2201)

    assert ssh.format_known_hosts(usual, "ssh-ed25519 AAAA\n\n") == "10.0.0.5 ssh-ed25519 AAAA\n"
    assert (
        ssh.format_known_hosts(other, "ecdsa-sha2-nistp256 AAAA")
        == "[10.0.0.5]:2201 ecdsa-sha2-nistp256 AAAA\n"
    )
    assert ssh.format_known_hosts(other, "[10.0.0.5]:2201 ssh-rsa AAAA") == "[10.0.0.5]:2201 ssh-rsa AAAA\n"


def test_what_is_no_private_key_is_refused_without_showing_it():
    ssh.check_private_key(KeyPair.new().private)
    for wrong in ["", "hunter2", KeyPair.new().private.replace("A", "B"), KeyPair.new().public]:
        with pytest.raises(ValueError, match="no private key") as refused:
            ssh.check_private_key(wrong)
        assert "hunter2" not in str(refused.value)
