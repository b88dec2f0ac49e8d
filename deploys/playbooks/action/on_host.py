"""An Ansible action: run a module on the host, and return only the expected values, each with its expected type.

    - on_host: {module: release, action: switch, folder: /srv/shop, version: "2.0"}

A host can answer a module with any JSON. Ansible acts on much of it (facts, statistics, hosts to add), and a value of an
unexpected type ends the whole run. So only the values that are named here are returned.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase

BOOLEANS = ("changed", "failed", "already", "untouched", "healthy")
LABELS = ("before", "current", "portal_running")
TEXTS = ("msg", "portal_code", "stdout", "stderr", "module_stdout", "module_stderr")
# In characters. A longer text loses its middle.
MAX_TEXT_LENGTH = 200_000
LABEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+~-]{0,127}")


class ActionModule(ActionBase):  # type: ignore[misc]
    """The action. `module` is the name of the module; all other arguments are passed to it."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module and return the known values of its answer."""
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        module = arguments.pop("module")
        return select_known_values(self._execute_module(module, module_args=arguments, task_vars=task_vars))


def select_known_values(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the known values of a module's answer. A value of another type is left out; an invalid label is None."""
    values: dict[str, Any] = {name: answer[name] is True for name in BOOLEANS if name in answer}
    for name in LABELS:
        if name in answer:
            value = answer[name]
            is_label = isinstance(value, str) and (value == "" or LABEL.fullmatch(value))
            values[name] = str(value) if is_label else None
    for name in TEXTS:
        if isinstance(answer.get(name), str):
            text = str(answer[name])
            half = MAX_TEXT_LENGTH // 2
            values[name] = text if len(text) <= MAX_TEXT_LENGTH else f"{text[:half]}\n...\n{text[-half:]}"
    if isinstance(answer.get("rc"), int) and abs(answer["rc"]) < 2**31:
        values["rc"] = int(answer["rc"])
    return values
