"""An Ansible module: restart, stop or check a systemd unit, and report its state.

Ansible's own module is not sufficient, as tests on real hosts showed:

1. Its `become` runs a shell as root, so the user would need the right to run everything. Here `sudo` gets a single
   command, which a line of sudoers can name.
2. Its `systemctl` waits as long as the unit takes, and stays on the host after a timeout. Here `systemctl` does not wait;
   the module polls the state of the unit.
3. It reports success for a unit that ends right after its start, and does not start a unit that has ended too often.

It runs on the host's Python, 3.8 or later, with what Ansible carries along (`ansible.module_utils`, BSD licence).
"""

from __future__ import annotations

import os
import time
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

SHOWN_PROPERTIES = (
    "ActiveState",
    "SubState",
    "Type",
    "Result",
    "ExecMainStatus",
    "MainPID",
    "NRestarts",
    "InvocationID",
    "Job",
)
POLL_SECONDS = 0.1
NO_SUCH_UNIT = 5


class Unit:
    """One unit of this host."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.name: str = module.params["name"]
        self.systemctl = [module.get_bin_path("systemctl", required=True)]
        self.sudo: list[str] = []
        if module.params["scope"] == "user":
            # PAM sets it, but sshd may be configured to run without PAM.
            os.environ.setdefault("XDG_RUNTIME_DIR", "/run/user/%d" % os.geteuid())
            self.systemctl.append("--user")
        elif module.params["sudo"] and os.geteuid() != 0:
            self.sudo = [module.get_bin_path("sudo", required=True), "-n"]
        self.before = self.read_properties()
        if not self.before:
            # A user reaches systemd over D-Bus, and the user's own systemd only while it runs.
            self.fail("systemd does not answer this user: %s" % self.errors)
        self.deadline = time.monotonic() + module.params["seconds"]

    def read_properties(self) -> dict[str, str]:
        """Return the unit's properties; empty when systemd does not answer."""
        program = [*self.systemctl, "show", "--property=" + ",".join(SHOWN_PROPERTIES), self.name]
        _code, output, errors = self.module.run_command(program)
        self.errors: str = errors.strip()
        properties = dict(line.partition("=")[::2] for line in output.splitlines() if "=" in line)
        if properties.get("Job") in ("", "0"):
            del properties["Job"]
        return properties

    def run_systemctl(self, verb: str) -> None:
        """Run `systemctl` with a verb, without waiting for the result. Fails when systemd refuses."""
        command = [*self.systemctl, "--no-block", verb, self.name]
        code, _output, errors = self.module.run_command([*self.sudo, *command])
        if code:
            why = errors.strip()
            if code != NO_SUCH_UNIT:
                why += " (It takes the right to run%s: %s)" % (
                    " as root" if self.sudo else "",
                    " ".join(command),
                )
            self.fail(why)

    def restart(self) -> None:
        # Resets the count of starts: systemd would refuse to start a unit that has failed too often. Errors are ignored,
        # because the restart reports them.
        self.module.run_command([*self.sudo, *self.systemctl, "reset-failed", self.name])
        self.run_systemctl("restart")
        self.wait_until_steady()

    def stop(self) -> None:
        if "Job" not in self.before and self.before["ActiveState"] in ("inactive", "failed"):
            return
        self.run_systemctl("stop")
        now = self.read_properties()
        while "Job" in now or now.get("ActiveState") not in ("inactive", "failed"):
            self.wait_for_next_poll(now)
            now = self.read_properties()

    def wait_until_steady(self) -> None:
        """Return when the unit has been active for `steady` seconds. Fails when it ends, or is not active in time."""
        steady, since = None, 0.0
        while True:
            now = self.read_properties()
            run = (now.get("InvocationID"), now.get("NRestarts"))
            if "Job" in now:
                steady = None
                self.wait_for_next_poll(now)
            elif now.get("Type") == "oneshot" and now.get("Result") == "success":
                return
            elif now.get("ActiveState") not in ("active", "reloading") or steady not in (None, run):
                self.fail("It does not stay up: %s." % describe_state(now))
            elif steady is None:
                steady, since = run, time.monotonic()
            elif time.monotonic() - since >= self.module.params["steady"]:
                return
            time.sleep(POLL_SECONDS)

    def wait_for_next_poll(self, now: dict[str, str]) -> None:
        if time.monotonic() > self.deadline:
            seconds = self.module.params["seconds"]
            self.fail(
                "It took more than %d seconds: %s." % (seconds, describe_state(now)), portal_code="timed_out"
            )
        time.sleep(POLL_SECONDS)

    def fail(self, why: str, **more: Any) -> NoReturn:
        # A unit with unchanged properties was not touched, and runs on.
        untouched = self.read_properties() == self.before
        self.module.fail_json(msg="%s: %s" % (self.name, why), untouched=untouched, **more)
        raise SystemExit(1)


def describe_state(properties: dict[str, str]) -> str:
    """Return a unit's state in the words of `systemctl status`."""
    state = "%s (%s)" % (properties.get("ActiveState"), properties.get("SubState"))
    if properties.get("NRestarts", "0") != "0":
        state += ", restarted by systemd %s times" % properties["NRestarts"]
    if properties.get("Result", "success") == "success":
        return state
    return "%s, %s, exit code %s" % (state, properties["Result"], properties.get("ExecMainStatus"))


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"required": True},
            "scope": {"choices": ["system", "user"], "default": "system"},
            "sudo": {"type": "bool", "default": False},
            "state": {"choices": ["restarted", "stopped", "steady"], "required": True},
            "seconds": {"type": "int", "default": 30},
            # In seconds: the unit has to stay active for this time. A program that fails to start usually ends at once.
            "steady": {"type": "float", "default": 1.0},
        }
    )
    unit = Unit(module)
    {"restarted": unit.restart, "stopped": unit.stop, "steady": unit.wait_until_steady}[
        module.params["state"]
    ]()
    module.exit_json(changed=module.params["state"] != "steady")


if __name__ == "__main__":
    main()
