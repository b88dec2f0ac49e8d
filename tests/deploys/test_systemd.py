"""The shipped playbook against a real systemd, with the unit, the sudoers lines and the rule that the documentation shows.

One machine, and a unit on it for each trouble; one run of Ansible serves them all.
"""

from __future__ import annotations

import re
import tempfile
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from deploys.executors import Code, create_executor
from tests.deploys.loopback import deploy_side_by_side, loopback, service_archive
from tests.deploys.systemd_host import USERS, SystemdHost, why_not
from tests.stories import ALL

DOCUMENTATION = Path(__file__).resolve().parents[2] / "docs" / "deploys-executors.md"
WHY_NOT = why_not()
pytestmark = [pytest.mark.timeout(180), pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]

# Each unit: who logs in, the version that is wanted, more settings of the unit, and how it ends: the code, and the
# version that runs as far as the portal knows, which is the one that answers.
UNITS = {
    "sudo": ("deploy", "2.0", "", Code.OK, "2.0"),
    # Its own systemd gives up on it after a few crashes, and would not start what ran before either.
    "loop": (
        "deploy",
        "broken",
        "[Service]\nRestartSec=50ms\n[Unit]\nStartLimitIntervalSec=300\n",
        Code.FAILED,
        "1.0",
    ),
    # It hangs while it starts, for longer than anybody waits.
    "hang": (
        "deploy",
        "2.0",
        "[Service]\nExecStartPre=sh -c 'grep -q 1 VERSION || exec sleep 60'\n",
        Code.TIMED_OUT,
        "1.0",
    ),
    "ruled": ("ruled", "2.0", "", Code.OK, "2.0"),
    "refused": ("plain", "2.0", "", Code.FAILED, "1.0"),
    # It comes up and is never well, and nothing ran before: it is stopped.
    "first": ("deploy", "sick", "", Code.UNHEALTHY, ""),
    "own": ("deploy", "2.0", "", Code.OK, "2.0"),
    # The disk has no byte left; what is to be put back lies there still.
    "full": ("deploy", "0.9", "", Code.OK, "0.9"),
}
# What the message about it says.
MESSAGES = {
    "loop": "It does not stay up",
    "hang": "activating (start-pre)",
    "refused": "systemctl --no-block restart refused.service",
}
# By default: with sudo, by root and by a user's own systemd, one that fails and is put back, and one that may not.
if not ALL:
    UNITS = {name: unit for name, unit in UNITS.items() if name in {"sudo", "loop", "refused", "own"}}
# What runs before, where it is not 1.0. Where it is nothing, systemd has given up on the unit before we come.
BEFORE = {"full": "2.0", "first": ""}


def documented(first):
    """The example in the documentation that begins with these words."""
    found = re.search(rf"^( +){re.escape(first)}.*\n(?:\1.*\n)*", DOCUMENTATION.read_text(), re.MULTILINE)
    assert found
    return textwrap.dedent(found[0])


class Machine(SystemdHost):
    """The host with a unit for each of `UNITS`, and what runs before."""

    def __init__(self, *arguments, packed, releases):
        self.packed, self.releases = packed, releases
        super().__init__(*arguments)

    def release(self, service, label):
        service.unpack(label, self.packed[label], self.releases[label].sha256)

    def set_up(self):
        sudoers, rule = documented("deploy ALL=(root)"), documented("polkit.addRule")
        lines = [
            # The strictest that a host may have.
            "echo 'session optional pam_umask.so umask=0077' >>etc/pam.d/common-session",
            "mkdir -p etc/systemd/user etc/polkit-1/rules.d",
            "touch var/lib/systemd/linger/deploy",
            write(
                "etc/polkit-1/rules.d/50-portal.rules",
                rule.replace("deploy", "ruled").replace("shop", "ruled"),
            ),
        ]
        for name, (user, _version, more, _code, _running) in UNITS.items():
            service = self.service(name, user)
            start = (
                f"/usr/bin/python3 -S -E {service.service_folder}/current/service.py {service.service_port}"
            )
            unit = documented("[Unit]").replace("/srv/shop", str(service.service_folder))
            unit = re.sub("ExecStart=.*", f"ExecStart={start}", unit) + more
            if name == "own":
                unit = unit.replace("User=shop\n", "")
                wanted, units = "default.target.wants", "etc/systemd/user"
                lines += [f"mkdir {units}/{wanted}", f"ln -s ../own.service {units}/{wanted}/own.service"]
            else:
                units = "units"
                lines += [
                    f"printf 'Wants={name}.service\\n' >>units/default.target",
                    f"echo '{sudoers.replace('shop', name)}' >>etc/sudoers.d/portal",
                ]
            lines.append(write(f"{units}/{name}.service", unit))
            place = f".{service.service_folder}"
            if name == "full":
                self.release(service, UNITS[name][1])
            if before := BEFORE.get(name, "1.0"):
                self.release(service, before)
            if name == "full":
                lines += [
                    f"cp -a {place} seed && mount -t tmpfs -o size=100k none {place} && cp -a seed/. {place}",
                    f"cat /dev/zero >{place}/log || true",
                ]
            lines.append(f"chown -R -h {USERS[user]} {place}")
        return "\n".join([*lines, "chmod 440 etc/sudoers.d/portal"])


def write(path, text):
    return f"cat >{path} <<'END'\n{text}END"


@pytest.fixture
def place():
    # A short path, as ssh needs for its sockets.
    with tempfile.TemporaryDirectory(prefix="portal-hosts-") as folder, loopback(Path(folder)) as found:
        Path(folder).chmod(0o755)
        yield found


def test_what_each_unit_becomes(place):
    packed = {"0.9": b"", "1.0": b"", "2.0": b""} | {
        label: service_archive(label, label) for label in ("broken", "sick")
    }
    packed = {label: content or service_archive(label) for label, content in packed.items()}
    releases = {label: place.artifacts.add(label, content) for label, content in packed.items()}
    machine = Machine("host", place.folder / "host", place.key.public, packed=packed, releases=releases)
    place.hosts["host"] = machine
    try:
        machine.wait()
    except AssertionError as error:
        # Containers differ in what they let a systemd do, and only trying tells.
        pytest.skip(f"No systemd comes up here: {error}")
    services = machine.services
    for name, service in services.items():
        service.wait_for(BEFORE.get(name, "1.0"))

    orders = []
    for name, (user, version, *_rest) in UNITS.items():
        settings = {
            "unit": f"{name}.service",
            "unit_scope": "user" if name == "own" else "system",
            "become": user == "deploy" and name != "own",
        }
        orders.append(services[name].order(releases[version], place.key, settings=settings))
    # Nobody asks this one's service, so that only systemd can tell.
    orders[0] = replace(orders[0], health=None)
    executor = create_executor("ansible", {"allow_local": True, "restart_seconds": 4})
    outcomes = deploy_side_by_side(executor, orders)

    said = "\n".join(f"{name}: {line}" for name, outcome in outcomes.items() for line in outcome.lines)
    found = {name: (end.code, end.running, services[name].answers()) for name, end in outcomes.items()}
    assert found == {name: (code, running, running) for name, (*_, code, running) in UNITS.items()}, said
    for name in MESSAGES.keys() & UNITS.keys():
        assert MESSAGES[name] in outcomes[name].message
    left = machine.inside("find", str(machine.folder / "services"), "-name", "under_way*")
    assert (left.returncode, left.stdout) == (0, "")
    # What the portal gave up on does not go on there.
    assert "systemctl" not in machine.inside("ps", "-e", "-o", "args").stdout
    if "first" in UNITS:
        assert machine.inside("systemctl", "is-active", "first.service").stdout == "inactive\n"
    assert machine.inside("visudo", "-c").returncode == 0
