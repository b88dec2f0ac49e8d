"""The operations of deployments: see `cases.py`."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from deploys.services import DeployParams, deploy
from tenants.models import Membership
from tenants.scoping import Role, Scope
from tests.factories import (
    DeploymentFactory,
    DeploymentItemFactory,
    HostFactory,
    InformationSystemFactory,
    InstanceFactory,
    ServiceFactory,
    VersionFactory,
)

from .case import Case, Ids


def create_service(member: Membership) -> Ids:
    return {"id": ServiceFactory(information_system__tenant=member.tenant).pk}


def create_version(member: Membership) -> Ids:
    version = VersionFactory(service__information_system__tenant=member.tenant)
    return {"id": version.service_id, "version_pk": version.pk}


def create_build(member: Membership) -> Ids:
    system = InformationSystemFactory(tenant=member.tenant)
    version = VersionFactory(service__information_system=system, build_status="building")
    return {"id": version.service_id, "version_pk": version.pk}


def create_instance(member: Membership) -> Ids:
    instance = InstanceFactory(version__service__information_system__tenant=member.tenant)
    return {"id": instance.service_id, "instance_pk": instance.pk}


def create_host(member: Membership) -> Ids:
    return {"id": HostFactory(tenant=member.tenant).pk}


def create_deployment_item(member: Membership) -> Ids:
    system = InformationSystemFactory(tenant=member.tenant)
    item = DeploymentItemFactory(deployment__from_version__service__information_system=system)
    return {"id": item.deployment_id, "item_pk": item.pk}


def create_deployment(member: Membership) -> Ids:
    return {"id": create_deployment_item(member)["id"]}


def create_running_deployment(member: Membership) -> Ids:
    system = InformationSystemFactory(tenant=member.tenant)
    instance = InstanceFactory(version__service__information_system=system)
    target = VersionFactory(service=instance.service)
    plan = deploy(
        scope=Scope(member.user, member.tenant, Role.OPERATOR),
        service_id=instance.service_id,
        version_id=instance.version_id,
        action="upgrade",
        params=DeployParams(target.pk, "all"),
    )
    return {"id": plan.deployment.pk}


def create_failed_deployment(member: Membership) -> Ids:
    system = InformationSystemFactory(tenant=member.tenant)
    deployment = DeploymentFactory(from_version__service__information_system=system)
    instance = InstanceFactory(version=deployment.from_version)
    DeploymentItemFactory(deployment=deployment, instance=instance, result="failed")
    return {"id": deployment.pk}


_moves: dict[Any, Any] = {}


def create_running_version(member: Membership) -> Ids:
    """Create the second of three versions, with an instance, for `build_revert_request` and `build_upgrade_request`."""
    first = VersionFactory(service__information_system__tenant=member.tenant)
    second, third = VersionFactory.create_batch(2, service=first.service)
    InstanceFactory(version=second)
    _moves[member.tenant.pk] = first, third
    return {"id": second.service_id, "version_pk": second.pk}


def build_revert_request(member: Membership) -> dict[str, Any]:
    return {"dest_version": str(_moves[member.tenant.pk][0].pk), "hosts": "all"}


def build_upgrade_request(member: Membership) -> dict[str, Any]:
    return {"dest_version": str(_moves[member.tenant.pk][1].pk), "hosts": "all"}


def build_service_request(member: Membership) -> dict[str, Any]:
    return {
        "information_system": str(InformationSystemFactory(tenant=member.tenant).pk),
        "name": "shop",
        "folder": "/srv/shop",
        "port": 8080,
        "executor": "ansible",
        "executor_settings": {"unit": "shop.service"},
    }


def build_host_request(member: Membership) -> dict[str, Any]:
    return {"hostname": "web-1", "ip": "10.1.2.3"}


def create_service_with_version(member: Membership) -> Ids:
    version = VersionFactory(service__information_system__tenant=member.tenant)
    _moves[member.tenant.pk] = version, HostFactory(tenant=member.tenant)
    return {"id": version.service_id}


def build_instance_request(member: Membership) -> dict[str, Any]:
    version, host = _moves[member.tenant.pk]
    return {"host": str(host.pk), "version": str(version.pk)}


def build_key_request(member: Membership) -> dict[str, Any]:
    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    return {"private_key": text}


def build_maintenance_request(member: Membership) -> dict[str, Any]:
    return {"is_maintain": True}


SERVICE = "/api/v1/services/{id}/"
VERSION = f"{SERVICE}versions/{{version_pk}}/"
INSTANCE = f"{SERVICE}instances/{{instance_pk}}/"
DEPLOYMENT = "/api/v1/deployments/{id}/"
INVALID_DEPLOYMENT_REQUEST = {"dest_version": "the newest", "hosts": []}

DEPLOY_CASES: dict[tuple[str, str], Case] = {
    ("GET", "/api/v1/services/"): Case(200),
    ("POST", "/api/v1/services/"): Case(
        201, Role.ADMIN, body=build_service_request, bad_body={"name": "a b", "executor": "magic"}
    ),
    ("GET", SERVICE): Case(200, ids=create_service),
    ("PATCH", SERVICE): Case(
        200, Role.ADMIN, ids=create_service, body=lambda member: {"port": 80}, bad_body={"executor": "magic"}
    ),
    ("DELETE", SERVICE): Case(204, Role.ADMIN, ids=create_service),
    ("GET", f"{SERVICE}versions/"): Case(200, ids=create_service),
    ("POST", f"{SERVICE}versions/"): Case(
        201,
        Role.OPERATOR,
        ids=create_service,
        body=lambda member: {"label": "2.0"},
        bad_body={"label": "a b"},
    ),
    ("GET", VERSION): Case(200, ids=create_version),
    ("PATCH", VERSION): Case(
        200,
        Role.OPERATOR,
        ids=create_build,
        body=lambda member: {"build_status": "success"},
        bad_body={"label": "2.0"},
    ),
    ("DELETE", VERSION): Case(204, Role.ADMIN, ids=create_version),
    ("GET", f"{VERSION}upgrade/"): Case(200, ids=create_version),
    ("POST", f"{VERSION}upgrade/"): Case(
        202,
        Role.OPERATOR,
        ids=create_running_version,
        body=build_upgrade_request,
        bad_body=INVALID_DEPLOYMENT_REQUEST,
    ),
    ("GET", f"{VERSION}revert/"): Case(200, ids=create_version),
    ("POST", f"{VERSION}revert/"): Case(
        202,
        Role.OPERATOR,
        ids=create_running_version,
        body=build_revert_request,
        bad_body=INVALID_DEPLOYMENT_REQUEST,
    ),
    ("GET", f"{SERVICE}instances/"): Case(200, ids=create_service),
    ("POST", f"{SERVICE}instances/"): Case(
        201,
        Role.ADMIN,
        ids=create_service_with_version,
        body=build_instance_request,
        bad_body={"host": "the first"},
    ),
    ("GET", INSTANCE): Case(200, ids=create_instance),
    ("PATCH", INSTANCE): Case(
        200,
        Role.OPERATOR,
        ids=create_instance,
        body=build_maintenance_request,
        bad_body={"is_maintain": "perhaps"},
    ),
    ("DELETE", INSTANCE): Case(204, Role.ADMIN, ids=create_instance),
    ("GET", f"{INSTANCE}history/"): Case(200, ids=create_instance),
    ("GET", "/api/v1/hosts/"): Case(200),
    ("POST", "/api/v1/hosts/"): Case(201, Role.ADMIN, body=build_host_request, bad_body={"ip": "here"}),
    ("GET", "/api/v1/hosts/key/"): Case(200),
    ("PUT", "/api/v1/hosts/key/"): Case(
        200, Role.ADMIN, body=build_key_request, bad_body={"private_key": "none"}
    ),
    ("DELETE", "/api/v1/hosts/key/"): Case(204, Role.ADMIN),
    ("GET", "/api/v1/hosts/{id}/"): Case(200, ids=create_host),
    ("PATCH", "/api/v1/hosts/{id}/"): Case(
        200, Role.ADMIN, ids=create_host, body=lambda member: {"ssh_port": 2222}, bad_body={"ssh_port": 0}
    ),
    ("DELETE", "/api/v1/hosts/{id}/"): Case(204, Role.ADMIN, ids=create_host),
    ("GET", "/api/v1/deployments/"): Case(200),
    ("GET", DEPLOYMENT): Case(200, ids=create_deployment),
    ("GET", f"{DEPLOYMENT}items/{{item_pk}}/"): Case(200, ids=create_deployment_item),
    ("POST", f"{DEPLOYMENT}cancel/"): Case(202, Role.OPERATOR, ids=create_running_deployment),
    ("POST", f"{DEPLOYMENT}retry/"): Case(202, Role.OPERATOR, ids=create_failed_deployment),
}
