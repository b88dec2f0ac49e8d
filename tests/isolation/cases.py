"""The cases of all operations of the API: the required role, valid and invalid bodies, and the status of a success.

The matrix test (`test_matrix.py`) tries each of them with every caller.
"""

from __future__ import annotations

from tenants.scoping import Role
from tests.factories import UserFactory

from .approval_cases import APPROVAL_CASES
from .case import Case
from .deploy_cases import DEPLOY_CASES
from .login_cases import LOGIN_CASES
from .network_cases import NETWORK_CASES
from .notification_cases import NOTIFICATION_CASES
from .objects import (
    add_other_administrator,
    add_viewer,
    build_adoption,
    build_grant_request,
    build_move,
    build_reason,
    build_vm_request,
    build_volume_request,
    create_account,
    create_account_with_server,
    create_attached_volume,
    create_binned_vm,
    create_binned_volume,
    create_errored_job,
    create_grant,
    create_job,
    create_pool,
    create_rescued_vm,
    create_resource,
    create_running_vm,
    create_schedule,
    create_session,
    create_stuck_job,
    create_sync_log,
    create_sync_log_with_losses,
    create_system,
    create_tenant_invitation,
    create_token,
    create_user_invitation,
    create_vm,
    create_vm_snapshot,
    create_volume,
    create_volume_snapshot,
    get_tenant_ids,
)
from .signin_cases import SIGNIN_CASES

ACCOUNT = {
    "name": "own",
    "auth_url": "http://127.0.0.1:9/v3",
    "credential_kind": "password",
    "access_id": "demo",
    "secret": "demo",
}

CASES: dict[tuple[str, str], Case] = {
    ("POST", "/api/v1/auth/login"): Case(
        200,
        None,
        body=lambda member: {"username": member.user.username, "password": "demo"},
        bad_body={},
        public=True,
    ),
    ("POST", "/api/v1/auth/logout"): Case(204, None),
    ("GET", "/api/v1/auth/me"): Case(200, None),
    ("PATCH", "/api/v1/auth/me"): Case(
        200, None, body=lambda member: {"time_zone": "Asia/Shanghai"}, bad_body={"time_zone": "Moon/Base"}
    ),
    ("GET", "/api/v1/auth/sessions/"): Case(200, None),
    ("POST", "/api/v1/auth/sessions/end-others/"): Case(200, None),
    ("DELETE", "/api/v1/auth/sessions/{id}/"): Case(204, None, ids=create_session),
    ("GET", "/api/v1/auth/tokens/"): Case(200, None),
    ("POST", "/api/v1/auth/tokens/"): Case(
        201, None, body=lambda member: {"name": "ci"}, bad_body={"nme": "ci"}
    ),
    ("DELETE", "/api/v1/auth/tokens/{id}/"): Case(204, None, ids=create_token),
    ("GET", "/api/v1/events/"): Case(200, Role.AUDITOR),
    ("GET", "/api/v1/events/stream/"): Case(200, Role.AUDITOR),
    ("GET", "/api/v1/audit/"): Case(200, Role.AUDITOR),
    ("GET", "/api/v1/audit/export/"): Case(200, Role.AUDITOR),
    ("GET", "/api/v1/tenants/"): Case(200),
    ("GET", "/api/v1/tenants/{id}/"): Case(200, ids=get_tenant_ids),
    ("PATCH", "/api/v1/tenants/{id}/"): Case(
        200,
        Role.ADMIN,
        ids=get_tenant_ids,
        body=lambda member: {"time_zone": "Europe/Berlin"},
        bad_body={"time_zone": "Moon/Base"},
    ),
    ("GET", "/api/v1/tenants/{id}/usage/"): Case(200, ids=get_tenant_ids),
    ("GET", "/api/v1/tenants/{id}/members/"): Case(200, ids=get_tenant_ids),
    ("GET", "/api/v1/tenants/{id}/invitations/"): Case(200, Role.ADMIN, ids=get_tenant_ids),
    ("POST", "/api/v1/tenants/{id}/invitations/"): Case(
        201,
        Role.ADMIN,
        ids=get_tenant_ids,
        body=lambda member: {"username": "ann", "role": "viewer"},
        bad_body={"username": "", "role": "king"},
    ),
    ("DELETE", "/api/v1/tenants/{id}/invitations/{invitation_pk}/"): Case(
        204, Role.ADMIN, ids=create_tenant_invitation
    ),
    ("POST", "/api/v1/tenants/{id}/leave/"): Case(204, None, ids=add_other_administrator),
    ("GET", "/api/v1/invitations/"): Case(200, None),
    ("POST", "/api/v1/invitations/{id}/accept/"): Case(200, None, ids=create_user_invitation),
    ("POST", "/api/v1/invitations/{id}/decline/"): Case(204, None, ids=create_user_invitation),
    ("POST", "/api/v1/tenants/{id}/members/"): Case(
        201,
        None,
        staff=True,
        ids=get_tenant_ids,
        body=lambda member: {"username": UserFactory().username, "role": "viewer"},
        bad_body={"username": "nobody at all", "role": "king"},
    ),
    ("PATCH", "/api/v1/tenants/{id}/members/{member_pk}/"): Case(
        200,
        Role.ADMIN,
        ids=add_viewer,
        body=lambda member: {"role": "operator"},
        bad_body={"role": "king"},
    ),
    ("DELETE", "/api/v1/tenants/{id}/members/{member_pk}/"): Case(204, Role.ADMIN, ids=add_viewer),
    ("GET", "/api/v1/information-systems/"): Case(200),
    ("POST", "/api/v1/information-systems/"): Case(
        201, Role.ADMIN, body=lambda member: {"name": "Shop"}, bad_body={"name": "", "colour": "red"}
    ),
    ("GET", "/api/v1/information-systems/{id}/"): Case(200, ids=create_system),
    ("PATCH", "/api/v1/information-systems/{id}/"): Case(
        200,
        Role.ADMIN,
        ids=create_system,
        body=lambda member: {"owner": "Ann"},
        bad_body={"default_account": 4711},
    ),
    ("DELETE", "/api/v1/information-systems/{id}/"): Case(204, Role.ADMIN, ids=create_system),
    ("GET", "/api/v1/vms/"): Case(200),
    ("POST", "/api/v1/vms/"): Case(
        202, Role.ADMIN, body=build_vm_request, bad_body={"name": "", "cpu_cores": 0, "colour": "red"}
    ),
    ("GET", "/api/v1/vms/options/"): Case(200),
    ("GET", "/api/v1/vms/export/"): Case(200),
    ("GET", "/api/v1/vms/sync/"): Case(200),
    ("POST", "/api/v1/vms/sync/"): Case(
        202, Role.OPERATOR, body=lambda member: {}, bad_body={"account": "the first"}
    ),
    ("GET", "/api/v1/vms/snapshots/"): Case(200),
    ("DELETE", "/api/v1/vms/snapshots/{id}/"): Case(202, Role.OPERATOR, ids=create_vm_snapshot),
    ("GET", "/api/v1/vms/{id}/"): Case(200, ids=create_vm),
    ("PATCH", "/api/v1/vms/{id}/"): Case(
        200,
        Role.OPERATOR,
        ids=create_vm,
        body=lambda member: {"description": "The first."},
        bad_body={"status": "running"},
    ),
    ("DELETE", "/api/v1/vms/{id}/"): Case(202, Role.ADMIN, ids=create_vm),
    ("POST", "/api/v1/vms/{id}/resize/"): Case(
        202,
        Role.ADMIN,
        ids=create_running_vm,
        body=lambda member: {"cpu_cores": 4, "memory_gb": 8},
        bad_body={"cpu_cores": 0},
    ),
    ("POST", "/api/v1/vms/{id}/move/"): Case(
        200, Role.OPERATOR, ids=create_vm, body=build_move, bad_body={"information_system": "another"}
    ),
    ("POST", "/api/v1/vms/{id}/release/"): Case(
        200, Role.ADMIN, ids=create_vm, body=lambda member: {}, bad_body={"volumes": "keep"}
    ),
    ("GET", "/api/v1/vms/{id}/console/"): Case(200, Role.OPERATOR, ids=create_vm),
    ("POST", "/api/v1/vms/{id}/console/"): Case(
        202, Role.OPERATOR, ids=create_vm, body=lambda member: {"reading": "log"}, bad_body={"lines": 0}
    ),
    ("GET", "/api/v1/vms/{id}/snapshots/"): Case(200, ids=create_vm),
    ("POST", "/api/v1/vms/{id}/snapshots/"): Case(
        202, Role.OPERATOR, ids=create_vm, body=lambda member: {"name": "before"}, bad_body={"name": ""}
    ),
    ("GET", "/api/v1/vms/{id}/volumes/"): Case(200, ids=create_vm),
    ("POST", "/api/v1/vms/{id}/volumes/"): Case(
        202, Role.ADMIN, ids=create_vm, body=lambda member: {"size_gb": 5}, bad_body={"size_gb": 0}
    ),
    ("DELETE", "/api/v1/vms/{id}/volumes/{volume_pk}/"): Case(202, Role.OPERATOR, ids=create_attached_volume),
    ("GET", "/api/v1/volumes/"): Case(200),
    ("POST", "/api/v1/volumes/"): Case(
        202, Role.ADMIN, body=build_volume_request, bad_body={"type": "debian", "count": 0, "colour": "red"}
    ),
    ("GET", "/api/v1/volume-pools/"): Case(200, None, staff=True),
    ("GET", "/api/v1/volume-pools/{id}/"): Case(
        200, None, staff=True, belongs_to_tenant=False, ids=create_pool
    ),
    ("GET", "/api/v1/volume-pools/{id}/history/"): Case(
        200, None, staff=True, belongs_to_tenant=False, ids=create_pool
    ),
    ("GET", "/api/v1/volume-pools/{id}/spares/"): Case(
        200, None, staff=True, belongs_to_tenant=False, ids=create_pool
    ),
    ("POST", "/api/v1/volume-pools/{id}/backfill/"): Case(
        202, None, staff=True, belongs_to_tenant=False, ids=create_pool
    ),
    ("POST", "/api/v1/volume-pools/{id}/reconcile/"): Case(
        202, None, staff=True, belongs_to_tenant=False, ids=create_pool
    ),
    ("GET", "/api/v1/volumes/options/"): Case(200),
    ("GET", "/api/v1/volumes/snapshots/"): Case(200),
    ("GET", "/api/v1/volumes/snapshots/{id}/"): Case(200, ids=create_volume_snapshot),
    ("DELETE", "/api/v1/volumes/snapshots/{id}/"): Case(202, Role.OPERATOR, ids=create_volume_snapshot),
    ("GET", "/api/v1/volumes/{id}/"): Case(200, ids=create_volume),
    ("PATCH", "/api/v1/volumes/{id}/"): Case(
        202, Role.OPERATOR, ids=create_volume, body=lambda member: {"name": "data"}, bad_body={"name": ""}
    ),
    ("POST", "/api/v1/volumes/{id}/actions/"): Case(
        202,
        Role.OPERATOR,
        ids=create_volume,
        body=lambda member: {"action": "snapshot", "name": "before"},
        bad_body={"action": "snapshot"},
    ),
    ("DELETE", "/api/v1/volumes/{id}/"): Case(202, Role.ADMIN, ids=create_volume),
    ("POST", "/api/v1/volumes/{id}/restore/"): Case(
        200, Role.ADMIN, ids=create_binned_volume, body=lambda member: {}, bad_body={"now": True}
    ),
    ("GET", "/api/v1/providers/"): Case(200, None),
    ("GET", "/api/v1/resource-types/"): Case(200, None),
    ("GET", "/api/v1/cloud-accounts/"): Case(200),
    ("POST", "/api/v1/cloud-accounts/"): Case(
        202,
        Role.ADMIN,
        body=lambda member: ACCOUNT,
        bad_body={"name": "", "auth_url": "ftp://x", "sync_interval_minutes": -1, "colour": "red"},
    ),
    ("GET", "/api/v1/cloud-accounts/{id}/"): Case(200, ids=create_account),
    ("PATCH", "/api/v1/cloud-accounts/{id}/"): Case(
        200,
        Role.ADMIN,
        ids=create_account,
        body=lambda member: {"sync_interval_minutes": 30},
        bad_body={"resource_types": ["unicorn"]},
    ),
    ("DELETE", "/api/v1/cloud-accounts/{id}/"): Case(202, Role.ADMIN, ids=create_account),
    ("POST", "/api/v1/cloud-accounts/{id}/verify/"): Case(202, Role.ADMIN, ids=create_account),
    ("POST", "/api/v1/cloud-accounts/{id}/sync/"): Case(
        202,
        Role.OPERATOR,
        ids=create_account,
        body=lambda member: {"types": ["flavor"]},
        bad_body={"types": "all of them"},
    ),
    ("GET", "/api/v1/cloud-accounts/{id}/unmanaged/"): Case(200, Role.ADMIN, ids=create_account_with_server),
    ("POST", "/api/v1/cloud-accounts/{id}/adopt/"): Case(
        201,
        Role.ADMIN,
        ids=create_account_with_server,
        body=build_adoption,
        bad_body={"servers": [], "colour": "red"},
    ),
    ("GET", "/api/v1/cloud-resources/"): Case(200),
    ("GET", "/api/v1/cloud-resources/export/"): Case(200),
    ("GET", "/api/v1/cloud-resources/{id}/"): Case(200, ids=create_resource),
    ("GET", "/api/v1/cloud-changes/"): Case(200),
    ("GET", "/api/v1/cloud-resources/{id}/changes/"): Case(200, ids=create_resource),
    ("GET", "/api/v1/cloud-resources/{id}/topology/"): Case(200, ids=create_resource),
    ("GET", "/api/v1/cloud-resources/{id}/supports/"): Case(200, ids=create_resource),
    ("GET", "/api/v1/cloud-resources/{id}/stands-on/"): Case(200, ids=create_resource),
    ("GET", "/api/v1/sync-logs/"): Case(200),
    ("GET", "/api/v1/sync-logs/{id}/"): Case(200, ids=create_sync_log),
    ("GET", "/api/v1/sync-logs/{id}/lines/"): Case(200, ids=create_sync_log),
    ("POST", "/api/v1/sync-logs/{id}/accept-losses/"): Case(202, Role.ADMIN, ids=create_sync_log_with_losses),
    ("POST", "/api/v1/vms/{id}/actions/"): Case(
        202,
        Role.OPERATOR,
        ids=create_vm,
        body=lambda member: {"action": "start"},
        bad_body={"action": "explode"},
    ),
    ("POST", "/api/v1/vms/actions/"): Case(
        202,
        Role.OPERATOR,
        body=lambda member: {"ids": [str(create_vm(member)["id"])], "action": "start"},
        bad_body={"ids": [], "action": "start"},
    ),
    ("POST", "/api/v1/vms/{id}/rescue/"): Case(
        202, Role.OPERATOR, ids=create_running_vm, body=lambda member: {}, bad_body={"image": "moon"}
    ),
    ("POST", "/api/v1/vms/{id}/unrescue/"): Case(
        202, Role.OPERATOR, ids=create_rescued_vm, body=lambda member: {}, bad_body={"now": True}
    ),
    ("POST", "/api/v1/vms/{id}/rebuild/"): Case(
        202, Role.ADMIN, ids=create_running_vm, body=lambda member: {}, bad_body={"image": "moon"}
    ),
    ("POST", "/api/v1/vms/{id}/migrate/"): Case(
        202,
        staff=True,
        ids=create_running_vm,
        body=lambda member: {"kind": "live"},
        bad_body={"kind": "sideways"},
    ),
    ("POST", "/api/v1/vms/{id}/abort-migration/"): Case(
        202, staff=True, ids=create_running_vm, body=lambda member: {}, bad_body={"host": "moon"}
    ),
    ("POST", "/api/v1/vms/{id}/evacuate/"): Case(
        202, staff=True, ids=create_running_vm, body=lambda member: {}, bad_body={"to": "moon"}
    ),
    ("GET", "/api/v1/cloud-accounts/{id}/hosts/"): Case(200, staff=True, ids=create_account),
    ("POST", "/api/v1/cloud-accounts/{id}/hosts/"): Case(
        202, staff=True, ids=create_account, body=lambda member: {}, bad_body={"now": True}
    ),
    ("POST", "/api/v1/vms/{id}/restore/"): Case(
        202, Role.ADMIN, ids=create_binned_vm, body=lambda member: {}, bad_body={"now": True}
    ),
    ("GET", "/api/v1/vms/{id}/operations/"): Case(200, ids=create_vm),
    ("GET", "/api/v1/jobs/"): Case(200),
    ("GET", "/api/v1/jobs/{id}/"): Case(200, ids=create_job),
    ("POST", "/api/v1/jobs/{id}/cancel/"): Case(202, Role.OPERATOR, ids=create_job),
    ("GET", "/api/v1/jobs/{id}/lines/"): Case(200, ids=create_job),
    ("GET", "/api/v1/jobs/{id}/events/"): Case(200, ids=create_job),
    ("POST", "/api/v1/jobs/{id}/resume/"): Case(
        202, staff=True, ids=create_stuck_job, body=build_reason, bad_body={"reason": ""}
    ),
    ("POST", "/api/v1/jobs/{id}/end/"): Case(
        202, staff=True, ids=create_stuck_job, body=build_reason, bad_body={"reason": "x", "undo": "perhaps"}
    ),
    ("POST", "/api/v1/jobs/{id}/retry/"): Case(
        202, staff=True, ids=create_errored_job, body=build_reason, bad_body={"reason": "x" * 1001}
    ),
    ("GET", "/api/v1/catalogue-grants/"): Case(200, None, staff=True),
    ("POST", "/api/v1/catalogue-grants/"): Case(
        201,
        None,
        staff=True,
        body=build_grant_request,
        bad_body={"tenant": None, "account": 0, "kind": "moon"},
    ),
    ("GET", "/api/v1/catalogue-grants/{id}/"): Case(
        200, None, staff=True, belongs_to_tenant=False, ids=create_grant
    ),
    ("DELETE", "/api/v1/catalogue-grants/{id}/"): Case(
        204, None, staff=True, belongs_to_tenant=False, ids=create_grant
    ),
    ("GET", "/api/v1/queue/schedules/"): Case(200, None, staff=True),
    ("PATCH", "/api/v1/queue/schedules/{id}/"): Case(
        200,
        None,
        staff=True,
        belongs_to_tenant=False,
        ids=create_schedule,
        body=lambda member: {"enabled": False},
        bad_body={"every_seconds": 0},
    ),
    ("GET", "/api/v1/queue/workers/"): Case(200, None, staff=True),
    ("GET", "/api/v1/queue/summary/"): Case(200, None, staff=True),
    **APPROVAL_CASES,
    **DEPLOY_CASES,
    **LOGIN_CASES,
    **NETWORK_CASES,
    **NOTIFICATION_CASES,
    **SIGNIN_CASES,
}
