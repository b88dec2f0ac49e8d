"""An Ansible action: see that a service is well, asked from its host or from the portal, as the service's settings say.

Actions run on the portal's machine. So this one reads what it asks from the file that the portal has written for the run
(`PORTAL_CHECKS`), and takes from the playbook only which version to expect: no variable, and so no fact of a host, can lead
it to another address. The address in the file was checked before the run, and it is connected to as it stands there.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from ansible.plugins.action import ActionBase

HERE = Path(__file__).resolve().parent
HEALTH = HERE.parents[1] / "executors" / "health.py"
ON_HOST = HERE / "on_host.py"
# What a version is called at most; a host says which one ran before.
LABEL_CHARACTERS = 128


class ActionModule(ActionBase):  # type: ignore[misc]
    """`version` is the one that the answer has to name; with `once` it has to be well now, and not only in a while."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask until it is well; the result says `healthy`, or fails with a `portal_code`."""
        super().run(tmp, task_vars)
        given = dict(self._task.args)
        if "ip" in given:
            # A playbook of an operator's own asks what it likes, on the host where the task runs.
            return self._on_host(given, task_vars)
        checks = json.loads(Path(os.environ["PORTAL_CHECKS"]).read_text(encoding="utf-8"))
        check = checks[(task_vars or {})["inventory_hostname"]]
        if check is None:
            return {"skipped": True, "skip_reason": "The service has no health check."}
        from_portal = check.pop("from_portal")
        version = str(given.get("version") or "")[:LABEL_CHARACTERS]
        check["contains"] = check["contains"].replace("{version}", version)
        if given.get("once"):
            check |= {"in_a_row": 1, "seconds": min(check["seconds"], 5)}
        if not from_portal:
            return self._on_host(check, task_vars)
        watched = load(HEALTH).watch(**check)
        facts = {"asked": watched.asked, "good": watched.good, "changed": False}
        if watched.code == "ok":
            return {**facts, "healthy": True}
        return {
            **facts,
            "healthy": False,
            "failed": True,
            "portal_code": watched.code,
            "msg": f"Health check: {watched.last}.",
        }

    def _on_host(self, check: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        answer = self._execute_module("wait_healthy", module_args=check, task_vars=task_vars)
        kept: dict[str, Any] = load(ON_HOST).readable(answer)
        return kept


def load(file: Path) -> ModuleType:
    """Return a module of the portal's by its file: none of the rest of the portal is there."""
    name = f"portal_{file.stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        # Dataclasses look their module up.
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]
