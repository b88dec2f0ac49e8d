"""An Ansible module: wait until a service is healthy. It runs `deploys/executors/health.py` on the host."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.health import wait_until_healthy


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "ip": {"required": True},
            "port": {"type": "int", "required": True},
            "path": {"default": "/"},
            "expected_status": {"type": "int", "default": 200},
            "in_a_row": {"type": "int", "default": 3},
            "seconds": {"type": "float", "default": 60.0},
            "interval": {"type": "float", "default": 1.0},
            "contains": {"default": ""},
        },
        supports_check_mode=True,
    )
    result = wait_until_healthy(**module.params)
    facts = {"asked": result.requests, "good": result.good_requests, "changed": False}
    if result.code == "ok":
        module.exit_json(healthy=True, **facts)
    module.fail_json(
        msg="Health check: %s." % result.last_error, healthy=False, portal_code=result.code, **facts
    )


if __name__ == "__main__":
    main()
