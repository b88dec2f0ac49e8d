"""Hosts whose interpreter answers what it likes: it is data, ranks below ours, and leads the portal nowhere.

One run of Ansible serves all of them, each with a lie of its own. The interpreter is the tenant's own setting (`python`), so
to lie takes nothing but a host.
"""

from __future__ import annotations

import base64
import http.server
import json
import socket
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from deploys.executors import Code, create_executor
from tests.deploys.loopback import INSTALL_SSHD, SSHD, deploy_side_by_side, loopback, service_archive
from tests.stories import ALL, select_evenly

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(SSHD is None, reason=INSTALL_SSHD),
]


class Trap:
    """A service on the portal's own machine that nobody has business with."""

    def __init__(self):
        self.asked = []
        trap = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                trap.asked.append(self.requestline)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()


@pytest.fixture
def trap():
    found = Trap()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def place():
    with tempfile.TemporaryDirectory(prefix="portal-hosts-") as folder, loopback(Path(folder)) as found:
        yield found


def interpreter(host, script):
    """A program that Ansible takes for the host's Python: whatever it is given, it answers by itself."""
    file = host.folder / "python"
    file.write_text(f"#!/bin/sh\ncat >/dev/null\n{script}\n")
    file.chmod(0o755)
    return str(file)


def answering(host, answer):
    file = host.folder / "answer.json"
    file.write_text(answer if isinstance(answer, str) else json.dumps(answer))
    return interpreter(host, f"cat {file}")


def lies(trap, marker):
    """By host: what its interpreter answers to everything."""
    check = {
        "ip": "127.0.0.1",
        "port": trap.port,
        "path": "/stolen HTTP/1.1\r\nX-Own: 1\r\n\r\nGET /again",
        "expected_status": 200,
        "in_a_row": 1,
        "seconds": 2,
        "interval": 0.1,
        "contains": "",
    }
    variables = {
        "portal_health": check,
        "portal_health_from": "localhost",
        "portal_version": "9.9",
        "portal_folder": "/",
        "portal_restart_command": ["/bin/sh", "-c", f"touch {marker}"],
        "portal_variables": {"host0": {"portal_health": check}},
        "inventory_hostname": "localhost",
        "ansible_connection": "local",
        "ansible_host": "127.0.0.1",
        "ansible_port": trap.port,
        "ansible_ssh_executable": f"/bin/sh -c 'touch {marker}'",
        "ansible_python_interpreter": f"/bin/sh -c 'touch {marker}'",
        "ansible_ssh_common_args": f"-o ProxyCommand='touch {marker}'",
        "ansible_become": True,
        "ansible_become_exe": f"touch {marker}",
        "ansible_remote_tmp": f"/tmp/$(touch {marker})",
    }
    found = {"already": True, "before": "1.0", "current": "2.0", "changed": False, "portal_running": "2.0"}
    template = "{{ lookup('pipe', 'touch " + str(marker) + "') }}"
    event = {
        "event": "runner_on_ok",
        "uuid": "0" * 36,
        "event_data": {"host": "host0", "res": {"portal_running": "2.0", "stdout": "forged"}},
    }
    forged = base64.b64encode(json.dumps(event).encode()).decode()
    return {
        "facts": {**found, "ansible_facts": variables},
        "hosts": {
            **found,
            **variables,
            "add_host": {"host_name": "host0", "host_vars": variables, "groups": ["all"]},
            "_ansible_delegated_vars": {"ansible_delegated_host": "localhost"},
            "_ansible_facts_cacheable": True,
            "include_variables": variables,
            "ansible_stats": {"data": ["x"]},
        },
        "templates": {
            **found,
            "already": False,
            "before": template,
            "current": template,
            "msg": template,
            "portal_running": template,
            "stdout": template,
        },
        "types": {
            "failed": True,
            "msg": {"a": ["\x00", "\ud800"]},
            "portal_running": {"v": "\x00"},
            "portal_code": ["disk_full"],
            "rc": {"a": 1},
            "stderr": 5,
            "changed": "yes",
        },
        "halves": '{"failed": true, "msg": "a\\u0000b\\ud800c\\u001b[31md", "portal_running": "1\\u0000"}',
        "forged": {
            **found,
            "already": False,
            "failed": True,
            "msg": "no",
            f"_ansible_\x1b[K{forged}\x1b[{len(forged)}D\x1b[K": 1,
            "warnings": [f"\x1b[K{forged}\x1b[{len(forged)}D\x1b[K"],
        },
    }


# By host: a program that never ends its answer.
FLOODS = {"endless": "exec yes 'password=hunter2hunter2'", "loud": "exec yes to-stderr >&2"}
# By default: facts that rank below ours, templates, events in disguise, too much, and one that does as it should.
ALWAYS_TRIED = {"facts", "templates", "forged", "endless", "honest"}


def test_what_a_host_answers_leads_the_portal_nowhere(place, trap, tmp_path):
    marker = tmp_path / "done-on-the-portal"
    packed = service_archive("2.0")
    release = place.artifacts.add("2.0", packed)
    orders = {}

    def host(name, python, **more):
        found = place.hosts[name]
        order = found.order(release, place.key, **more)
        settings = {**order.settings, "python": python(found), "health_from": "portal"}
        orders[name] = replace(order, settings=settings)

    everything = lies(trap, marker)
    programs = {
        **{name: lambda found, lie=lie: answering(found, lie) for name, lie in everything.items()},
        **{name: lambda found, script=script: interpreter(found, script) for name, script in FLOODS.items()},
        "honest": lambda _found: "/usr/bin/python3",
    }
    tried = [name for name in programs if ALL or name in ALWAYS_TRIED]
    for name in tried:
        place.host(name)
    for name in tried:
        host(name, programs[name])
    # Bound, and nobody listens: no other service comes to answer for a liar's.
    taken = [socket.socket() for _name in place.hosts]
    for found, closed in zip(place.hosts.values(), taken, strict=True):
        found.wait()
        if found.name != "honest":
            closed.bind(("127.0.0.1", found.service_port))

    outcomes = deploy_side_by_side(
        create_executor("ansible", {"allow_local": True, "restart_seconds": 10}), list(orders.values())
    )

    for closed in taken:
        closed.close()
    said = "\n".join(f"{name}: {line}" for name, outcome in outcomes.items() for line in outcome.lines)
    assert "forged" not in "".join(outcomes["facts"].lines), said
    assert trap.asked == [], said
    assert not marker.exists(), said
    # The portal has asked the service itself, which does not run there: so no lie has succeeded.
    assert [name for name, outcome in outcomes.items() if outcome.ok] == ["honest"], said
    assert outcomes["facts"].code is Code.UNHEALTHY, said
    assert place.hosts["honest"].answers() == "2.0"
    assert {outcome.running for outcome in outcomes.values()} <= {None, "", "2.0"}
    for name in FLOODS.keys() & outcomes.keys():
        assert outcomes[name].code is Code.UNREACHABLE, said
        assert "printed more than" in outcomes[name].message
    for outcome in outcomes.values():
        whole = json.dumps([outcome.message, outcome.running, *outcome.lines], ensure_ascii=False)
        assert not {"\x00", "\x1b", "\ud800"} & set("".join([outcome.message, *outcome.lines])), outcome
        assert len(whole.encode()) < 300_000
        assert "hunter2" not in whole


GBK = "重启完成".encode("gbk")


@pytest.mark.story
def test_a_program_that_prints_in_another_encoding_has_succeeded_all_the_same(place):
    host = place.host("gbk")
    host.run_by_hand("1.0", packed := service_archive("1.0"), place.artifacts.add("1.0", packed).sha256)
    host.wait()
    release = place.artifacts.add("2.0", service_archive("2.0"))
    octal = "".join(f"\\{byte:03o}" for byte in GBK)
    script = (
        f"printf '{octal}\\n'; printf '\\377\\376\\000\\n' >&2; printf 'utf \\342\\202\\254\\n'; exec sh "
        + str(host.folder / "restart.sh")
    )
    order = host.order(release, place.key, settings={"restart_command": ["/bin/sh", "-c", script]})

    outcome = create_executor("ansible", {"allow_local": True}).deploy(order, lambda _line: None)

    assert (outcome.code, outcome.running, host.answers()) == (Code.OK, "2.0", "2.0"), outcome
    assert "重启完成" in outcome.lines
    assert "utf €" in outcome.lines


# By host: what the playbook does with it, how it ends, and what the reason says. None of these tasks goes to a host.
CASES = {
    # Ansible counts what was rescued, and went on well, as no failure.
    "rescued": (Code.OK, ""),
    "skipped": (Code.FAILED, "Every task of the playbook was skipped"),
    "rescued-by-nothing": (Code.FAILED, "broken off"),
    "ended": (Code.FAILED, "nothing was done"),
    "ignored": (Code.OK, ""),
    "done-and-ended": (Code.OK, ""),
}
OWN = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.meta: end_host
      when: portal_host == "ended"
    - ansible.builtin.debug: {msg: x}
      when: portal_host == "done-and-ended"
    - ansible.builtin.meta: end_host
      when: portal_host == "done-and-ended"
    - when: portal_host == "rescued"
      block: [{ansible.builtin.fail: {msg: not yet}}]
      rescue: [{ansible.builtin.debug: {msg: well}}]
    - when: portal_host == "rescued-by-nothing"
      block: [{ansible.builtin.fail: {msg: broken off}}]
      rescue: [{ansible.builtin.debug: {msg: x}, when: false}]
    - {ansible.builtin.fail: {msg: never mind}, ignore_errors: true, when: portal_host == "ignored"}
"""


def test_a_playbook_ends_as_ansible_counts_and_a_failure_has_its_reason(place, tmp_path):
    (tmp_path / "own.yml").write_text(OWN)
    (tmp_path / "elsewhere.yml").write_text("- hosts: none_of_these\n  tasks: []\n")
    never = place.host("never").order(place.artifacts.add("2.0", b""), place.key, health=None)
    cases = {name: CASES[name] for name in select_evenly(CASES, 3)}
    playbook_of = {**dict.fromkeys(cases, "own"), "elsewhere": "elsewhere"}
    orders = [
        replace(never, target=replace(never.target, name=name), settings={"playbook": playbook})
        for name, playbook in playbook_of.items()
    ]
    playbooks = {name: str(tmp_path / f"{name}.yml") for name in ["own", "elsewhere"]}

    outcomes = deploy_side_by_side(
        create_executor("ansible", {"allow_local": True, "playbooks": playbooks}), orders
    )

    for name, (code, words) in {**cases, "elsewhere": (Code.FAILED, "nothing was done")}.items():
        outcome = outcomes[name]
        assert (outcome.code, outcome.running) == (code, "2.0" if code is Code.OK else None), outcome
        assert words in outcome.message, outcome
