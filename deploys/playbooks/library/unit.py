"""An Ansible module: restart, stop or look at a systemd unit, and tell what became of it.

Ansible's own module does not do, as real hosts showed:

1. Its `become` runs a shell as root, so that the user would have to be allowed everything. Here `sudo` gets the one
   command, which a line of sudoers can name.
2. Its `systemctl` waits as long as the unit does. Once given up on it stays on the host; here systemd is only told, and asked.
3. A unit that dies at once has been started well for it, and one that died too often is not started again.

It runs on the host's Python, 3.8 or later, with what Ansible carries along (`ansible.module_utils`, BSD licence).
"""

from __future__ import annotations

import os
import time
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

SHOWN = (
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
GLANCE = 0.1
NO_SUCH_UNIT = 5


class Unit:
    """One unit of this host."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.name: str = module.params["name"]
        self.systemctl = [module.get_bin_path("systemctl", required=True)]
        self.sudo: list[str] = []
        if module.params["scope"] == "user":
            # sshd may have been told to leave PAM alone, which would have set it.
            os.environ.setdefault("XDG_RUNTIME_DIR", "/run/user/%d" % os.geteuid())
            self.systemctl.append("--user")
        elif module.params["sudo"] and os.geteuid() != 0:
            self.sudo = [module.get_bin_path("sudo", required=True), "-n"]
        self.before = self.show()
        if not self.before:
            # A user reaches systemd over D-Bus, and their own only while it runs.
            self.fail("systemd does not answer this user: %s" % self.errors)
        self.deadline = time.monotonic() + module.params["seconds"]

    def show(self) -> dict[str, str]:
        """How it is; empty when systemd does not answer."""
        program = [*self.systemctl, "show", "--property=" + ",".join(SHOWN), self.name]
        _code, output, errors = self.module.run_command(program)
        self.errors: str = errors.strip()
        shown = dict(line.partition("=")[::2] for line in output.splitlines() if "=" in line)
        if shown.get("Job") in ("", "0"):
            del shown["Job"]
        return shown

    def tell(self, verb: str) -> None:
        """Have systemd begin with something."""
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
        # It forgets how often the unit was started: what systemd has given up on could not be put back. Where this is
        # not allowed, or there is nothing to forget, the restart itself will tell.
        self.module.run_command([*self.sudo, *self.systemctl, "reset-failed", self.name])
        self.tell("restart")
        self.watch()

    def stop(self) -> None:
        if "Job" not in self.before and self.before["ActiveState"] in ("inactive", "failed"):
            return
        self.tell("stop")
        now = self.show()
        while "Job" in now or now.get("ActiveState") not in ("inactive", "failed"):
            self.wait(now)
            now = self.show()

    def watch(self) -> None:
        """Return when it has been active for a while; it fails when it is not, or not in its time."""
        steady, since = None, 0.0
        while True:
            now = self.show()
            run = (now.get("InvocationID"), now.get("NRestarts"))
            if "Job" in now:
                steady = None
                self.wait(now)
            elif now.get("Type") == "oneshot" and now.get("Result") == "success":
                return
            elif now.get("ActiveState") not in ("active", "reloading") or steady not in (None, run):
                self.fail("It does not stay up: %s." % words(now))
            elif steady is None:
                steady, since = run, time.monotonic()
            elif time.monotonic() - since >= self.module.params["steady"]:
                return
            time.sleep(GLANCE)

    def wait(self, now: dict[str, str]) -> None:
        if time.monotonic() > self.deadline:
            seconds = self.module.params["seconds"]
            self.fail("It took more than %d seconds: %s." % (seconds, words(now)), portal_code="timed_out")
        time.sleep(GLANCE)

    def fail(self, why: str, **more: Any) -> NoReturn:
        # What was refused, or is not there, has not been touched: it runs on as it did.
        untouched = self.show() == self.before
        self.module.fail_json(msg="%s: %s" % (self.name, why), untouched=untouched, **more)
        raise SystemExit(1)


def words(shown: dict[str, str]) -> str:
    """A unit's state, as `systemctl status` has it."""
    state = "%s (%s)" % (shown.get("ActiveState"), shown.get("SubState"))
    if shown.get("NRestarts", "0") != "0":
        state += ", restarted by systemd %s times" % shown["NRestarts"]
    if shown.get("Result", "success") == "success":
        return state
    return "%s, %s, exit code %s" % (state, shown["Result"], shown.get("ExecMainStatus"))


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"required": True},
            "scope": {"choices": ["system", "user"], "default": "system"},
            "sudo": {"type": "bool", "default": False},
            "state": {"choices": ["restarted", "stopped", "steady"], "required": True},
            "seconds": {"type": "int", "default": 30},
            # For so long it has to stay active: a program that does not come up mostly ends at once.
            "steady": {"type": "float", "default": 1.0},
        }
    )
    unit = Unit(module)
    {"restarted": unit.restart, "stopped": unit.stop, "steady": unit.watch}[module.params["state"]]()
    module.exit_json(changed=module.params["state"] != "steady")


if __name__ == "__main__":
    main()
