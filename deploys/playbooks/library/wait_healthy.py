"""An Ansible module: ask a service over HTTP until it is well. The asking is in `deploys/executors/health.py`."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.health import watch


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
    watched = watch(**module.params)
    facts = {"asked": watched.asked, "good": watched.good, "changed": False}
    if watched.code == "ok":
        module.exit_json(healthy=True, **facts)
    module.fail_json(msg="Health check: %s." % watched.last, healthy=False, portal_code=watched.code, **facts)


if __name__ == "__main__":
    main()
