"""Run a playbook with ansible-runner and print its events, one JSON object in each line.

Run as a script: `python -I ansible_run.py FOLDER PLAYBOOK`, by `ansible.py`, under `subreaper.py`.

It is a separate program and not a call in the worker, for these reasons:

1. ansible-runner forks with `pty.fork`, which can deadlock in a process with threads, and workers have threads.
2. It handles signals in the main thread, where Celery has its own handlers.
3. When it is stopped, it kills Ansible's process group. Since ansible-core 2.18, Ansible's workers have their own sessions
   and would go on; `subreaper.py` kills them.

It imports nothing of the portal.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

from ansible_runner import Runner, RunnerConfig

# The values of a task's result that the portal reads. All others are dropped.
RESULT_KEYS = (
    "msg",
    "module_stderr",
    "stdout",
    "stderr",
    "rc",
    "changed",
    "timedout",
    "portal_code",
    "portal_running",
)
# In characters, for each text of a result; the portal keeps less. A longer text loses its middle, because its end usually
# explains a failure.
MAX_TEXT_LENGTH = 100_000
STATISTICS = ("ok", "failures", "dark", "skipped", "rescued", "ignored", "processed")
REPORTED_EVENTS = {
    "runner_on_start",
    "runner_on_ok",
    "runner_on_failed",
    "runner_on_unreachable",
    "playbook_on_stats",
}
TEXT_EVENTS = ("verbose", "error", "warning", "deprecated", "system_warning")
UUID = re.compile(r"[0-9a-f-]{36}")


def bound_value(value: Any) -> Any:
    """Return a value of a result as a boolean, a 32-bit integer, None, or a text of bounded length."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**31 else None
    text = value if isinstance(value, str) else json.dumps(value, default=repr)
    if len(text) <= MAX_TEXT_LENGTH:
        return text
    return f"{text[: MAX_TEXT_LENGTH // 4]}\n...\n{text[-MAX_TEXT_LENGTH // 4 * 3 :]}"


def as_mapping(value: Any) -> dict[str, Any]:
    """Return a value that is a mapping, or an empty mapping instead of any other value: a host may answer anything."""
    return value if isinstance(value, dict) else {}


def print_event(event: dict[str, Any]) -> None:
    """Print an event as one line of JSON."""
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


class FileRunner(Runner):  # type: ignore[misc]
    """A runner that reads events from the files of Ansible's plugin, and never from the output.

    ansible-runner itself parses events from the output, and a host can influence the output (a warning repeats its text):
    it could forge events. So the output only names the file of an event, and is otherwise treated as text.
    """

    def event_callback(self, event_data: Any) -> None:
        """Print the part of an event that the portal reads."""
        printed_event = as_mapping(event_data)
        name = printed_event.get("uuid")
        if isinstance(name, str) and UUID.fullmatch(name):
            file = Path(self.config.artifact_dir) / "job_events" / f"{name}-partial.json"
            try:
                event = as_mapping(json.loads(file.read_text(encoding="utf-8")))
                file.unlink()
            except (OSError, ValueError):
                event = {}
            if event.get("event") in REPORTED_EVENTS:
                print_event(summarize_event(event))
                return
        if printed_event.get("event") in TEXT_EVENTS:
            print_event({"event": "text", "text": bound_value(printed_event.get("stdout"))})


def summarize_event(event: dict[str, Any]) -> dict[str, Any]:
    """Return the part of an event that the portal reads. The host decides the values of a result and their types."""
    data = as_mapping(event.get("event_data"))
    result = as_mapping(data.get("res"))
    facts = as_mapping(result.get("ansible_facts"))
    values = {key: bound_value(result[key]) for key in RESULT_KEYS if key in result}
    values |= {key: bound_value(facts[key]) for key in ("portal_code", "portal_running") if key in facts}
    is_stats = event["event"] == "playbook_on_stats"
    return {
        "event": event["event"],
        "host": bound_value(data.get("host")),
        "task": bound_value(data.get("task")),
        "ignored": bool(data.get("ignore_errors")),
        "result": values,
        "stats": {name: list(as_mapping(data.get(name))) for name in STATISTICS} if is_stats else {},
    }


def main() -> int:
    """Run the playbook and return the exit code of ansible-playbook."""
    folder, playbook = sys.argv[1:3]
    config = RunnerConfig(
        private_data_dir=folder,
        inventory=f"{folder}/hosts.yml",
        playbook=playbook,
        # Extra variables have precedence over everything that a host answers.
        cmdline=shlex.join(["--extra-vars", f"@{folder}/variables.yml"]),
        ident="run",
        quiet=True,
        settings={"pexpect_timeout": 1, "suppress_output_file": True, "suppress_ansible_output": True},
    )
    config.prepare()
    # The Ansible of this Python, not the one in the PATH. It has its own session, so it gets its own subreaper: if this
    # program and the outer subreaper were killed, nothing else would end it.
    here = Path(__file__).parent
    program = [sys.executable, "-I", str(here / "ansible_playbook.py"), *config.command[1:]]
    config.command = [
        sys.executable,
        "-I",
        "-S",
        str(here / "subreaper.py"),
        "--parent",
        str(os.getpid()),
        "--",
    ]
    config.command += program
    _status, code = FileRunner(config).run()
    return int(code or 0)


if __name__ == "__main__":
    sys.exit(main())
