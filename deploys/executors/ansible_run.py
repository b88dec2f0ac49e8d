"""Run a playbook with ansible-runner and print what happens, one JSON object a line.

Run as a script: `python -I ansible_run.py FOLDER PLAYBOOK`, by `ansible.py`, under `subreaper.py`.

A program of its own, and not a call in the worker:

1. ansible-runner forks with `pty.fork`, which can deadlock in a process with threads, and workers have some.
2. It waits for signals in the main thread, and Celery has its own handlers there.
3. When it is told to end, it kills Ansible's process group; Ansible's workers are in sessions of their own since
   ansible-core 2.18 and would go on. `subreaper.py` ends those.

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

# What the portal reads of a task's result; anything else stays here.
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
# In characters, of one text of a result: the portal keeps less. What is longer loses its middle, because the end tells why.
LONGEST_TEXT = 100_000
STATS = ("ok", "failures", "dark", "skipped", "rescued", "ignored", "processed")
EVENTS = {
    "runner_on_start",
    "runner_on_ok",
    "runner_on_failed",
    "runner_on_unreachable",
    "playbook_on_stats",
}
TEXT_EVENTS = ("verbose", "error", "warning", "deprecated", "system_warning")
UUID = re.compile(r"[0-9a-f-]{36}")


def bounded(value: Any) -> Any:
    """Return a value of a result as what the portal reads: a truth, a number that it can hold, or a text of bounded length."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**31 else None
    text = value if isinstance(value, str) else json.dumps(value, default=repr)
    if len(text) <= LONGEST_TEXT:
        return text
    return f"{text[: LONGEST_TEXT // 4]}\n...\n{text[-LONGEST_TEXT // 4 * 3 :]}"


def mapping(value: Any) -> dict[str, Any]:
    """Return a value if it is a mapping, and an empty one if it is not: a host's answer may be anything."""
    return value if isinstance(value, dict) else {}


def tell(fact: dict[str, Any]) -> None:
    """Print one fact at once."""
    sys.stdout.write(json.dumps(fact) + "\n")
    sys.stdout.flush()


class FileRunner(Runner):  # type: ignore[misc]
    """Takes events from the files that Ansible's own plugin writes, and never from what is printed.

    ansible-runner finds events in the output, where a host can have anything printed that it likes (a warning repeats its
    words): it could speak for other hosts, and for Ansible. So what is printed only names a file, and is a text otherwise.
    """

    def event_callback(self, event_data: Any) -> None:
        """Tell what the portal wants to know of an event."""
        printed = mapping(event_data)
        name = printed.get("uuid")
        if isinstance(name, str) and UUID.fullmatch(name):
            file = Path(self.config.artifact_dir) / "job_events" / f"{name}-partial.json"
            try:
                event = mapping(json.loads(file.read_text(encoding="utf-8")))
                file.unlink()
            except (OSError, ValueError):
                event = {}
            if event.get("event") in EVENTS:
                tell(what_is_told_of(event))
                return
        if printed.get("event") in TEXT_EVENTS:
            tell({"event": "text", "text": bounded(printed.get("stdout"))})


def what_is_told_of(event: dict[str, Any]) -> dict[str, Any]:
    """Return the part of an event that the portal reads. A host decides what a result holds, and of which type it is."""
    data = mapping(event.get("event_data"))
    result = mapping(data.get("res"))
    facts = mapping(result.get("ansible_facts"))
    kept = {key: bounded(result[key]) for key in RESULT_KEYS if key in result}
    kept |= {key: bounded(facts[key]) for key in ("portal_code", "portal_running") if key in facts}
    is_stats = event["event"] == "playbook_on_stats"
    return {
        "event": event["event"],
        "host": bounded(data.get("host")),
        "task": bounded(data.get("task")),
        "ignored": bool(data.get("ignore_errors")),
        "result": kept,
        "stats": {name: list(mapping(data.get(name))) for name in STATS} if is_stats else {},
    }


def main() -> int:
    """Run the playbook; the exit code is ansible-playbook's."""
    folder, playbook = sys.argv[1:3]
    config = RunnerConfig(
        private_data_dir=folder,
        inventory=f"{folder}/hosts.yml",
        playbook=playbook,
        # Extra variables rank above whatever a host answers.
        cmdline=shlex.join(["--extra-vars", f"@{folder}/variables.yml"]),
        ident="run",
        quiet=True,
        settings={"pexpect_timeout": 1, "suppress_output_file": True, "suppress_ansible_output": True},
    )
    config.prepare()
    # The one beside this Python, whatever else is in the PATH; under a keeper of its own, because its session is not
    # this one's: should this program and the outer keeper be killed, nobody else would end it.
    program = [str(Path(sys.executable).with_name("ansible-playbook")), *config.command[1:]]
    keeper = str(Path(__file__).with_name("subreaper.py"))
    config.command = [sys.executable, "-I", "-S", keeper, "--parent", str(os.getpid()), "--", *program]
    _status, code = FileRunner(config).run()
    return int(code or 0)


if __name__ == "__main__":
    sys.exit(main())
