"""The creation of servers: Nova."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import InvalidCloudRequestError
from .nova_requests import NovaRequests, unwrap_object
from .records import Server
from .validation import (
    encode_user_data,
    validate_address,
    validate_id,
    validate_metadata,
    validate_name,
    validate_tags,
)


@dataclass(frozen=True, slots=True)
class ServerNetwork:
    """A network interface of a new server, with an address of choice if `fixed_ip` is set.

    Nova makes its port, and deletes it with the server. It gives the port the address of a subnet's gateway, too: call
    `Ports.refuse_gateways` before.
    """

    network_id: str
    fixed_ip: str | None = None

    def to_json(self) -> dict[str, str]:
        """Return one element of Nova's `networks`. Raises `InvalidCloudRequestError`."""
        payload = {"uuid": validate_id(self.network_id, "network")}
        if self.fixed_ip is not None:
            payload["fixed_ip"] = validate_address(self.fixed_ip)
        return payload


class ServerCreation(NovaRequests):
    """Nova's request for a new server."""

    def create_server(
        self,
        *,
        name: str,
        flavor_id: str,
        tags: Sequence[str],
        networks: Sequence[ServerNetwork],
        image_id: str | None = None,
        boot_volume_id: str | None = None,
        availability_zone: str | None = None,
        metadata: Mapping[str, str] | None = None,
        key_name: str | None = None,
        user_data: str | bytes | None = None,
        config_drive: bool | None = None,
        security_groups: Sequence[str] = (),
        server_group_id: str | None = None,
    ) -> Server:
        """Request a server, from an image or from a volume. Not safe to repeat: look for its tag first.

        Interfaces come in the order of `networks`.
        `key_name` is a key pair of the user of the credentials. `user_data` is what cloud-init reads, at most
        `MAX_USER_DATA_BYTES`. `config_drive` None leaves the choice to the image and the cloud.
        `security_groups` are ids, for all interfaces. `server_group_id` decides on the host. Nova makes an administrator's password
        that nobody learns.

        Nova answers with the id alone, so the record holds the id and the requested values; `get_server` returns the
        rest. After `CloudUnavailableError` the server may exist nevertheless.
        Raises `CloudQuotaExceededError`, `CloudConflictError`, `CloudForbiddenError`, and `InvalidCloudRequestError`, also for an
        address that is taken or in none of the network's subnets. Errors never hold `user_data`.
        """
        if (image_id is None) == (boot_volume_id is None):
            raise InvalidCloudRequestError(
                "A server boots from an image or from a volume: exactly one of them is needed."
            )
        payload: dict[str, Any] = {
            "name": validate_name(name, "server"),
            "flavorRef": validate_id(flavor_id, "flavor"),
            "networks": _build_networks(networks),
            "tags": validate_tags(tags),
            "metadata": validate_metadata(metadata),
        }
        if image_id is not None:
            payload["imageRef"] = validate_id(image_id, "image")
        if boot_volume_id is not None:
            payload["block_device_mapping_v2"] = [
                {
                    "boot_index": 0,
                    "uuid": validate_id(boot_volume_id, "volume"),
                    "source_type": "volume",
                    "destination_type": "volume",
                    "delete_on_termination": False,
                }
            ]
        if availability_zone is not None:
            payload["availability_zone"] = validate_name(availability_zone, "availability zone")
        if key_name is not None:
            payload["key_name"] = validate_name(key_name, "key pair")
        if config_drive is not None:
            payload["config_drive"] = bool(config_drive)
        if security_groups:
            payload["security_groups"] = _build_security_groups(security_groups)
        secrets: tuple[str, ...] = ()
        if user_data is not None:
            payload["user_data"] = encode_user_data(user_data)
            secrets = (payload["user_data"],)
        request: dict[str, Any] = {"server": payload}
        if server_group_id is not None:
            request["os:scheduler_hints"] = {"group": validate_id(server_group_id, "server group")}
        body = self._call("POST", "/servers", f"create server {name}", json=request, secrets=secrets)
        answer = unwrap_object(body, "server")
        # The answer also holds the server's initial password (adminPass), which must not be kept.
        return Server.from_json(
            {
                "id": answer.get("id"),
                "name": name,
                "status": "BUILD",
                "tags": payload["tags"],
                "metadata": payload["metadata"],
                "key_name": key_name,
            }
        )


def _build_networks(networks: Sequence[ServerNetwork]) -> list[dict[str, str]]:
    if not networks:
        raise InvalidCloudRequestError("A server needs at least one network.")
    found = [entry.to_json() for entry in networks]
    addresses = [(entry["uuid"], entry["fixed_ip"]) for entry in found if "fixed_ip" in entry]
    if len(set(addresses)) < len(addresses):
        raise InvalidCloudRequestError("A server cannot have the same address twice.")
    return found


def _build_security_groups(security_groups: Sequence[str]) -> list[dict[str, str]]:
    if isinstance(security_groups, str):
        raise InvalidCloudRequestError("Security groups are a list of ids.")
    # Nova takes names and ids here; names are not unique.
    return [{"name": validate_id(group, "security group")} for group in dict.fromkeys(security_groups)]
