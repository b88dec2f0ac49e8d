"""The executor `ansible`: a playbook puts the version on hosts over SSH.

Each host has a run of Ansible of its own, because each host of a deployment is a job of its own: what one host does to
its run touches no other, and a job that is taken up again repeats one host. Starting Ansible costs more than a second of
processor time for each.

What a tenant wrote reaches Ansible as `!unsafe` text: a template in it would be evaluated on the portal's machine.

What a host answers is data, and ranks below ours. Its facts become no variables (`inject_facts_as_vars`); ours are extra
variables, which nothing outranks; how it is connected to stands in the inventory, which no module's answer can change;
how much it may print is bounded (`bounded_ssh.py`); and the portal's own questions are asked by an action that reads them
from a file of the portal's (`playbooks/action/wait_healthy.py`).
"""

from __future__ import annotations

import json
import re
import shlex
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from . import ssh
from .addresses import check_host_address
from .ansible_progress import Progress
from .contract import (
    FOLDER,
    Code,
    Executor,
    ExecutorError,
    OnLine,
    Order,
    Outcome,
    Settings,
)
from .process import ProcessCancelledError, ProcessTimedOutError, run_program
from .registry import register

HERE = Path(__file__).resolve().parent
PLAYBOOKS = HERE.parent / "playbooks"
SHIPPED = {"deploy": str(PLAYBOOKS / "deploy.yml")}
# In characters: a socket's path has room for 108, of which ssh needs some.
LONGEST_FOLDER = 70
# In the inventory: a host that is called "all" or "localhost" would mean something to Ansible.
HOST = "host"
PYTHON_ON_HOSTS = "/usr/bin/python3"
UNIT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@\\-]{0,200}")
ADDRESS = re.compile(r"[0-9a-fA-F.:]{2,45}")
# What is left out could not be written into a file as it is.
PRINTABLE = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]{1,4000}")
CONFIGURATION = """\
[defaults]
host_key_checking = True
gathering = explicit
# A host answers with facts of any name, also those of our variables.
inject_facts_as_vars = False
# A program on a host may print in any encoding, and has succeeded all the same.
module_strict_utf8_response = False
library = {playbooks}/library
action_plugins = {playbooks}/action
module_utils = {here}:{playbooks}/module_utils
local_tmp = {folder}/tmp
remote_tmp = ~/.ansible/tmp
retry_files_enabled = False
timeout = {timeout}
# Every millisecond, as it would be, costs a tenth of a processor while hosts are waited for.
internal_poll_interval = 0.02
[connection]
pipelining = True
[ssh_connection]
ssh_executable = {here}/bounded_ssh.py
ssh_args = {ssh_args}
control_path_dir = {folder}/cp
retries = 0
transfer_method = piped
"""


@register
class AnsibleExecutor(Executor):
    """Runs a playbook through ansible-runner. Its options are the operator's.

    `seconds` bound a whole call, `fetch_seconds` and `restart_seconds` single tasks of the shipped playbook.
    `playbooks` are those that services may name beside the shipped one: a playbook may run programs on the portal's
    machine, so that only operators name files.
    """

    name = "ansible"
    label = _("Ansible over SSH")

    def __init__(
        self,
        *,
        seconds: float = 200,
        fetch_seconds: int = 90,
        restart_seconds: int = 30,
        playbooks: Mapping[str, str] | None = None,
        allow_local: bool = False,
    ) -> None:
        self.seconds = seconds
        self.fetch_seconds = fetch_seconds
        self.restart_seconds = restart_seconds
        self.playbooks = {**SHIPPED, **(playbooks or {})}
        self.allow_local = allow_local

    def check_settings(self, settings: Settings) -> dict[str, str | Promise]:
        """See `Executor`. A service is restarted by its `unit` or by its `restart_command`."""
        return _wrong_settings(settings, self.playbooks)

    def deploy(
        self, order: Order, on_line: OnLine, *, should_continue: Callable[[], bool] = lambda: True
    ) -> Outcome:
        """Run the service's playbook for the order's host."""
        try:
            self._check_addresses(order)
            if wrong := self.check_settings(order.settings):
                field, message = next(iter(wrong.items()))
                raise ExecutorError(Code.FAILED, f"{field}: {message}")
        except ExecutorError as error:
            return Outcome(error.code, error.message, changed=False)
        return self._run(order, on_line, should_continue)

    def _check_addresses(self, order: Order) -> None:
        """Refuse to connect where no host may be: for SSH, and for the health check if the portal itself makes it."""
        ports = [order.target.ssh_port]
        if order.health is not None and order.settings.get("health_from") == "portal":
            ports.append(order.health.port)
        for port in ports:
            check_host_address(order.target.ip, port=port, allow_local=self.allow_local)

    def _run(self, order: Order, on_line: OnLine, should_continue: Callable[[], bool]) -> Outcome:
        progress = Progress(HOST, order, on_line)
        stopped: Code | None = None
        with tempfile.TemporaryDirectory(prefix="portal-deploy-", ignore_cleanup_errors=True) as name:
            folder = Path(name)  # 0700, as `tempfile` makes it.
            self._write_files(folder, order)
            program = [sys.executable, "-I", str(HERE / "ansible_run.py"), name]
            try:
                run_program(
                    [*program, self.playbooks[order.settings.get("playbook", "deploy")]],
                    progress.read,
                    seconds=self.seconds,
                    environment=ssh.environment(folder)
                    | {
                        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
                        "ANSIBLE_HOME": str(folder / "home"),
                        "PORTAL_CHECKS": str(folder / "checks.json"),
                    },
                    folder=folder,
                    remove=folder,
                    should_continue=should_continue,
                )
            except ProcessTimedOutError:
                stopped = Code.TIMED_OUT
            except ProcessCancelledError:
                stopped = Code.CANCELLED
        return progress.outcome(stopped)

    def _write_files(self, folder: Path, order: Order) -> None:
        """Write the files of a run into its own folder."""
        options = ["-o", "ControlMaster=auto", "-o", "ControlPersist=30s"]
        if len(str(folder)) > LONGEST_FOLDER:
            # Slower, a new connection for each task; but Ansible refuses a path that is too long for a socket.
            options = []
        options += ["-F", "none", *(part for option in ssh.OPTIONS for part in ("-o", option))]
        text = CONFIGURATION.format(
            here=HERE,
            playbooks=PLAYBOOKS,
            folder=folder,
            timeout=ssh.CONNECT_SECONDS,
            ssh_args=shlex.join(options),
        )
        (folder / "ansible.cfg").write_text(text)
        ssh.write_credentials(folder / HOST, order.target, order.credentials)
        check = _check_of(order)
        from_portal = order.settings.get("health_from") == "portal"
        checks = {HOST: None if check is None else {**check, "from_portal": from_portal}}
        connection = self._connection(folder / HOST, order)
        (folder / "hosts.yml").write_text("all: " + unsafe_yaml({"hosts": {HOST: connection}}))
        (folder / "variables.yml").write_text(extra_variables({HOST: self._variables(HOST, order)}))
        (folder / "checks.json").write_text(json.dumps(checks))

    def _connection(self, folder: Path, order: Order) -> dict[str, Any]:
        """How a host is connected to."""
        target = order.target
        return {
            "ansible_connection": "ssh",
            "ansible_host": target.ip,
            "ansible_port": target.ssh_port,
            "ansible_user": target.user,
            "ansible_python_interpreter": order.settings.get("python", PYTHON_ON_HOSTS),
            "ansible_ssh_private_key_file": str(folder / "key"),
            "ansible_ssh_common_args": shlex.join(["-o", f"UserKnownHostsFile={folder / 'known_hosts'}"]),
        }

    def _variables(self, host: str, order: Order) -> dict[str, Any]:
        """Return the variables of a playbook for one host; docs/deploys-executors.md lists them for operators."""
        target, settings = order.target, order.settings
        return {
            "portal_host": target.name,
            "portal_service": target.service,
            "portal_service_port": target.service_port,
            "portal_folder": target.folder.rstrip("/"),
            "portal_version": order.release.label,
            "portal_artifact_url": order.release.artifact_url,
            "portal_sha256": order.release.sha256,
            "portal_fetch_seconds": self.fetch_seconds,
            "portal_restart_seconds": self.restart_seconds,
            "portal_keep": settings.get("keep", 3),
            "portal_put_back": order.put_back,
            "portal_unit": settings.get("unit", ""),
            "portal_unit_scope": settings.get("unit_scope", "system"),
            "portal_become": settings.get("become", False),
            "portal_restart_command": settings.get("restart_command", []),
            "portal_health_from": "localhost" if settings.get("health_from") == "portal" else host,
            "portal_health": _check_of(order),
        }


def _check_of(order: Order) -> dict[str, Any] | None:
    """Return the health check of an order, and where its settings run it from."""
    health, settings = order.health, order.settings
    if health is None:
        return None
    from_portal = settings.get("health_from") == "portal"
    return {
        "ip": order.target.ip if from_portal else settings.get("health_ip", "127.0.0.1"),
        "port": health.port,
        "path": health.path,
        "expected_status": health.expected_status,
        "in_a_row": health.in_a_row,
        "seconds": health.seconds,
        "interval": health.interval,
        "contains": health.contains,
    }


def extra_variables(variables: Mapping[str, Mapping[str, Any]]) -> str:
    """Return each host's variables as extra ones, which nothing that a host answers outranks.

    Extra variables are the same for all hosts, so each is looked up by the host's name in the inventory, which is ours.
    """
    names = sorted({name for of_host in variables.values() for name in of_host})
    looked_up = (
        f"{name}: {json.dumps('{{ portal_variables[inventory_hostname].' + name + ' }}')}" for name in names
    )
    return "\n".join(["portal_variables: " + unsafe_yaml(variables), *looked_up]) + "\n"


def unsafe_yaml(value: Any) -> str:
    """A value as YAML, every text in it marked as one that Ansible must not evaluate."""
    if isinstance(value, str):
        # Ansible reads `!unsafe ""` as null.
        return ("!unsafe " if value else "") + json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        pairs = (f"{json.dumps(key)}: {unsafe_yaml(item)}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(unsafe_yaml, value)) + "]"
    return json.dumps(value)


def _wrong_settings(settings: Settings, playbooks: Mapping[str, str]) -> dict[str, str | Promise]:
    unit, command = settings.get("unit", ""), settings.get("restart_command", [])
    keep = settings.get("keep", 3)
    good: dict[str, tuple[bool, str | Promise]] = {
        "playbook": (
            settings.get("playbook", "deploy") in list(playbooks),
            _("The playbooks are: %(names)s.") % {"names": ", ".join(sorted(playbooks))},
        ),
        "unit": (unit == "" or _is(UNIT, unit), _("Enter a valid systemd unit name.")),
        "unit_scope": (
            settings.get("unit_scope", "system") in ["system", "user"],
            _("Enter system or user."),
        ),
        "become": (isinstance(settings.get("become", False), bool), _("It is true or false.")),
        "restart_command": (
            isinstance(command, list) and all(_is(PRINTABLE, part) for part in command),
            _("Enter a list: the program and its arguments."),
        ),
        "keep": (
            type(keep) is int and 2 <= keep <= 100,
            _("At least 2 releases are kept, and at most 100."),
        ),
        "health_from": (
            settings.get("health_from", "host") in ["host", "portal"],
            _("Enter host or portal."),
        ),
        "health_ip": (
            _is(ADDRESS, settings.get("health_ip", "127.0.0.1")),
            _("Enter a valid IP address."),
        ),
        "python": (
            _is(FOLDER, settings.get("python", PYTHON_ON_HOSTS)),
            _("Enter the absolute path of a program."),
        ),
    }
    wrong = {field: message for field, (fine, message) in good.items() if not fine}
    for field in sorted(set(settings) - set(good)):
        wrong[field] = _("Unknown setting.")
    if settings.get("playbook", "deploy") == "deploy" and not unit and not command:
        wrong.setdefault("unit", _("A service needs a unit or a restart_command."))
    return wrong


def _is(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
