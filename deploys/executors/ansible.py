"""The executor `ansible`: run a playbook that deploys a version to a host over SSH.

Each host of a deployment has its own job and its own run of Ansible: a host that disturbs its run disturbs no other, and
a job that is repeated repeats one host. Each start of Ansible costs more than a second of processor time.

Text from a tenant reaches Ansible as `!unsafe`: otherwise a template in it would be evaluated on the portal's machine.

The answers of a host are untrusted, and must not change what the portal does:

1. Facts of a host do not become variables (`inject_facts_as_vars`).
2. The portal's variables are extra variables, which have the highest precedence in Ansible.
3. The connection settings are in the inventory, which the answer of a module cannot change.
4. The size of the output is bounded (`bounded_ssh.py`).
5. The health checks of the portal read their parameters from a file of the portal (`playbooks/action/wait_healthy.py`).
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import join_messages
from api.messages import message as _

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
SHIPPED_PLAYBOOKS = {"deploy": str(PLAYBOOKS / "deploy.yml")}
# In characters. The path of a Unix socket has at most 108, and ssh appends the name of its control socket.
MAX_FOLDER_LENGTH = 70
# The host's name in the inventory. Its own name could be "all" or "localhost", which Ansible treats specially.
HOST = "host"
PYTHON_ON_HOSTS = "/usr/bin/python3"
UNIT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@\\-]{0,200}")
ADDRESS = re.compile(r"[0-9a-fA-F.:]{2,45}")
# Without control characters, line separators and surrogates, which would not survive in a YAML file.
PRINTABLE = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]{1,4000}")
CONFIGURATION_TEMPLATE = """\
[defaults]
host_key_checking = True
gathering = explicit
# A host can answer with facts of any name, also with names of the portal's variables.
inject_facts_as_vars = False
# A program on a host may print in any encoding; that does not make it fail.
module_strict_utf8_response = False
library = {playbooks}/library
action_plugins = {playbooks}/action
module_utils = {here}:{playbooks}/module_utils
local_tmp = {folder}/tmp
remote_tmp = ~/.ansible/tmp
retry_files_enabled = False
timeout = {timeout}
# The default of one millisecond takes a tenth of a processor while Ansible waits for hosts.
internal_poll_interval = 0.02
[inventory]
# The portal writes a file of YAML; the other plugins would each be loaded, and asked whether it is theirs.
enable_plugins = yaml
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
    """Runs a playbook through ansible-runner. The operator of the portal sets its options.

    `seconds` limits a whole call; `fetch_seconds` and `restart_seconds` limit single tasks of the shipped playbook.
    `playbooks` maps names that services may use to files. Only the operator names files, because a playbook can run
    programs on the portal's machine.
    """

    name = "ansible"
    label = gettext_lazy("Ansible over SSH")

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
        self.playbooks = {**SHIPPED_PLAYBOOKS, **(playbooks or {})}
        self.allow_local = allow_local

    def check_settings(self, settings: Settings) -> dict[str, str | Promise]:
        """Return the errors of a service's settings. The shipped playbook needs a `unit` or a `restart_command`."""
        return _find_setting_errors(settings, self.playbooks)

    def deploy(
        self, order: Order, on_line: OnLine, *, should_continue: Callable[[], bool] = lambda: True
    ) -> Outcome:
        """Run the service's playbook for the order's host."""
        try:
            self._check_addresses(order)
            if errors := self.check_settings(order.settings):
                field, message = next(iter(errors.items()))
                raise ExecutorError(Code.FAILED, join_messages([field, message], ": "))
        except ExecutorError as error:
            return Outcome(error.code, error.message, changed=False)
        return self._run(order, on_line, should_continue)

    def _check_addresses(self, order: Order) -> None:
        """Refuse forbidden addresses for SSH, and for the health check if the portal itself sends it."""
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
                    environment=ssh.build_environment(folder)
                    | {
                        # `bounded_ssh.py` is run by the first `python3` in it: by the portal's own, and not by one that a
                        # version manager puts in front, which takes longer to start than all the rest of an ssh.
                        "PATH": os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]),
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
        if len(str(folder)) > MAX_FOLDER_LENGTH:
            # Without multiplexing, each task opens a new connection. Ansible would refuse the long socket path.
            options = []
        options += ["-F", "none", *(part for option in ssh.OPTIONS for part in ("-o", option))]
        text = CONFIGURATION_TEMPLATE.format(
            here=HERE,
            playbooks=PLAYBOOKS,
            folder=folder,
            timeout=ssh.CONNECT_SECONDS,
            ssh_args=shlex.join(options),
        )
        (folder / "ansible.cfg").write_text(text)
        ssh.write_credentials(folder / HOST, order.target, order.credentials)
        check = _build_health_check(order)
        from_portal = order.settings.get("health_from") == "portal"
        checks = {HOST: None if check is None else {**check, "from_portal": from_portal}}
        connection = self._connection_variables(folder / HOST, order)
        (folder / "hosts.yml").write_text("all: " + dump_unsafe_yaml({"hosts": {HOST: connection}}))
        (folder / "variables.yml").write_text(
            render_extra_variables({HOST: self._playbook_variables(HOST, order)})
        )
        (folder / "checks.json").write_text(json.dumps(checks))

    def _connection_variables(self, folder: Path, order: Order) -> dict[str, Any]:
        """Return the inventory variables with which Ansible connects to the host."""
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

    def _playbook_variables(self, host: str, order: Order) -> dict[str, Any]:
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
            "portal_put_back": order.auto_revert,
            "portal_unit": settings.get("unit", ""),
            "portal_unit_scope": settings.get("unit_scope", "system"),
            "portal_become": settings.get("become", False),
            "portal_restart_command": settings.get("restart_command", []),
            "portal_health_from": "localhost" if settings.get("health_from") == "portal" else host,
            "portal_health": _build_health_check(order),
        }


def _build_health_check(order: Order) -> dict[str, Any] | None:
    """Return the parameters of an order's health check, with the address as seen from where it runs; None without one."""
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


def render_extra_variables(variables: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the YAML of extra variables, which have precedence over everything that a host answers.

    Extra variables are the same for all hosts, so each one looks its value up by the host's name in the inventory.
    """
    names = sorted({name for host_variables in variables.values() for name in host_variables})
    lookups = (
        f"{name}: {json.dumps('{{ portal_variables[inventory_hostname].' + name + ' }}')}" for name in names
    )
    return "\n".join(["portal_variables: " + dump_unsafe_yaml(variables), *lookups]) + "\n"


def dump_unsafe_yaml(value: Any) -> str:
    """Return a value as YAML, with every text marked so that Ansible does not evaluate it as a template."""
    if isinstance(value, str):
        # Ansible reads `!unsafe ""` as null.
        return ("!unsafe " if value else "") + json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        pairs = (f"{json.dumps(key)}: {dump_unsafe_yaml(item)}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(dump_unsafe_yaml, value)) + "]"
    return json.dumps(value)


def _find_setting_errors(settings: Settings, playbooks: Mapping[str, str]) -> dict[str, str | Promise]:
    unit, command = settings.get("unit", ""), settings.get("restart_command", [])
    keep = settings.get("keep", 3)
    rules: dict[str, tuple[bool, str | Promise]] = {
        "playbook": (
            settings.get("playbook", "deploy") in list(playbooks),
            _("The playbooks are: %(names)s.") % {"names": ", ".join(sorted(playbooks))},
        ),
        "unit": (unit == "" or _matches(UNIT_NAME, unit), _("Enter a valid systemd unit name.")),
        "unit_scope": (
            settings.get("unit_scope", "system") in ["system", "user"],
            _("Enter system or user."),
        ),
        "become": (isinstance(settings.get("become", False), bool), _("It is true or false.")),
        "restart_command": (
            isinstance(command, list) and all(_matches(PRINTABLE, part) for part in command),
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
            _matches(ADDRESS, settings.get("health_ip", "127.0.0.1")),
            _("Enter a valid IP address."),
        ),
        "python": (
            _matches(FOLDER, settings.get("python", PYTHON_ON_HOSTS)),
            _("Enter the absolute path of a program."),
        ),
    }
    errors = {field: message for field, (is_valid, message) in rules.items() if not is_valid}
    for field in sorted(set(settings) - set(rules)):
        errors[field] = _("Unknown setting.")
    if settings.get("playbook", "deploy") == "deploy" and not unit and not command:
        errors.setdefault("unit", _("A service needs a unit or a restart_command."))
    return errors


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
