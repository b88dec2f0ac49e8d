"""The cases of SSH keys, user data and passwords."""

from __future__ import annotations

from tenants.scoping import Role

from .case import Case
from .objects import create_running_vm, create_ssh_key, create_user_data_template, create_vm

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"

LOGIN_CASES: dict[tuple[str, str], Case] = {
    ("GET", "/api/v1/ssh-keys/"): Case(200),
    # Everybody has keys of their own; those of a tenant are tried in tests/vms/test_ssh_keys.py.
    ("POST", "/api/v1/ssh-keys/"): Case(
        201,
        None,
        body=lambda member: {"name": "laptop", "public_key": PUBLIC_KEY},
        bad_body={"name": "", "public_key": "ssh-dss AAAA"},
    ),
    ("GET", "/api/v1/ssh-keys/{id}/"): Case(200, ids=create_ssh_key),
    ("PATCH", "/api/v1/ssh-keys/{id}/"): Case(
        200, Role.ADMIN, ids=create_ssh_key, body=lambda member: {"name": "desk"}, bad_body={"name": ""}
    ),
    ("DELETE", "/api/v1/ssh-keys/{id}/"): Case(204, Role.ADMIN, ids=create_ssh_key),
    ("GET", "/api/v1/user-data-templates/"): Case(200),
    ("POST", "/api/v1/user-data-templates/"): Case(
        201,
        Role.ADMIN,
        body=lambda member: {"name": "web", "text": "#cloud-config\n"},
        bad_body={"name": "web", "text": "hello"},
    ),
    ("GET", "/api/v1/user-data-templates/{id}/"): Case(200, Role.ADMIN, ids=create_user_data_template),
    ("PATCH", "/api/v1/user-data-templates/{id}/"): Case(
        200,
        Role.ADMIN,
        ids=create_user_data_template,
        body=lambda member: {"text": "#!/bin/sh\n"},
        bad_body={"text": "hello"},
    ),
    ("DELETE", "/api/v1/user-data-templates/{id}/"): Case(204, Role.ADMIN, ids=create_user_data_template),
    ("GET", "/api/v1/vms/{id}/user-data/"): Case(200, Role.ADMIN, ids=create_vm),
    ("GET", "/api/v1/vms/{id}/password/"): Case(200, Role.OPERATOR, ids=create_vm),
    ("POST", "/api/v1/vms/{id}/password/"): Case(
        202,
        Role.OPERATOR,
        ids=create_running_vm,
        body=lambda member: {},
        bad_body={"action": "guess"},
    ),
}
