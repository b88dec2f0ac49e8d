"""An Ansible action: wait until a service is healthy, checked from its host or from the portal as its settings say.

Actions run on the portal's machine, so variables, which a host may influence, must not decide where they connect to. This
action reads the address from the file that the portal wrote for the run (`PORTAL_CHECKS`), and takes only the expected
version from the playbook. The portal checked the address before the run.
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
# The maximum length of a version's label. The host reports the previous label, so its length is not trusted.
LABEL_CHARACTERS = 128


class ActionModule(ActionBase):  # type: ignore[misc]
    """The action. `version` is the label that the response must contain; with `once`, one good response is enough."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Wait until the service is healthy. The result has `healthy`; a failure has a `portal_code`."""
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if "ip" in arguments:
            # A playbook of the operator may check any address, from the host of its task.
            return self._on_host(arguments, task_vars)
        checks = json.loads(Path(os.environ["PORTAL_CHECKS"]).read_text(encoding="utf-8"))
        check = checks[(task_vars or {})["inventory_hostname"]]
        if check is None:
            return {"skipped": True, "skip_reason": "The service has no health check."}
        from_portal = check.pop("from_portal")
        version = str(arguments.get("version") or "")[:LABEL_CHARACTERS]
        check["contains"] = check["contains"].replace("{version}", version)
        if arguments.get("once"):
            check |= {"in_a_row": 1, "seconds": min(check["seconds"], 5)}
        if not from_portal:
            return self._on_host(check, task_vars)
        result = load_module(HEALTH).wait_until_healthy(**check)
        facts = {"asked": result.requests, "good": result.good_requests, "changed": False}
        if result.code == "ok":
            return {**facts, "healthy": True}
        return {
            **facts,
            "healthy": False,
            "failed": True,
            "portal_code": result.code,
            "msg": f"Health check: {result.last_error}.",
        }

    def _on_host(self, check: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        answer = self._execute_module("wait_healthy", module_args=check, task_vars=task_vars)
        values: dict[str, Any] = load_module(ON_HOST).select_known_values(answer)
        return values


def load_module(file: Path) -> ModuleType:
    """Return a module loaded from its file: Ansible cannot import the portal's packages."""
    name = f"portal_{file.stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        # `dataclass` looks its module up in `sys.modules`.
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]
