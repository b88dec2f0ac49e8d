"""An Ansible action: run a module on the host, and keep of its answer what the playbook reads, each value of its type.

    - on_host: {module: release, action: switch, folder: /srv/shop, version: "2.0"}

A host can answer a module with any JSON. Ansible itself acts on much of it (facts, statistics, hosts to add), and a value of
another type than it expects ends the whole run, for all hosts. So nothing passes that is not named here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase

TRUTHS = ("changed", "failed", "already", "untouched", "healthy")
LABELS = ("before", "current", "portal_running")
TEXTS = ("msg", "portal_code", "stdout", "stderr", "module_stdout", "module_stderr")
# In characters: what is longer loses its middle.
LONGEST_TEXT = 200_000
LABEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+~-]{0,127}")


class ActionModule(ActionBase):  # type: ignore[misc]
    """`module` is the module; everything else is given to it."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run it, and return what can be read of its answer."""
        super().run(tmp, task_vars)
        given = dict(self._task.args)
        module = given.pop("module")
        return readable(self._execute_module(module, module_args=given, task_vars=task_vars))


def readable(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the known values of a module's answer, each of its type: None for what is no label, no text or no number."""
    kept: dict[str, Any] = {name: answer[name] is True for name in TRUTHS if name in answer}
    for name in LABELS:
        if name in answer:
            value = answer[name]
            is_label = isinstance(value, str) and (value == "" or LABEL.fullmatch(value))
            kept[name] = str(value) if is_label else None
    for name in TEXTS:
        if isinstance(answer.get(name), str):
            text = str(answer[name])
            half = LONGEST_TEXT // 2
            kept[name] = text if len(text) <= LONGEST_TEXT else f"{text[:half]}\n...\n{text[-half:]}"
    if isinstance(answer.get("rc"), int) and abs(answer["rc"]) < 2**31:
        kept["rc"] = int(answer["rc"])
    return kept
