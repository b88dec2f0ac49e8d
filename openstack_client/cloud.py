"""One account of a cloud, in one of its regions."""

from __future__ import annotations

import warnings
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .block_storage import BlockStorage
from .catalog import INTERFACES, Endpoint, list_endpoints
from .compute import Compute
from .connection_rules import ConnectionRules
from .credentials import CloudCredentials
from .errors import InvalidCloudRequestError
from .image import Images
from .network import Networks
from .translation import error_from_exception
from .transport import Guard, Observer, TokenCache, Transport

__all__ = ["Cloud", "TokenCache"]


class Cloud:
    """One account in one region. The first call logs in; its token is kept.

    `interface` selects the endpoints: "public", "internal" or "admin".
    `guard` is called before every HTTP request and may raise anything, which is raised unchanged.
    Timeouts are in seconds. `token_cache` shares the token between processes. `rules` bound where connections may go
    and how large answers may be. `observer` is told each HTTP request, for metrics. Safe for use by several threads.
    Close it when the credentials change: requests after that raise `CloudUnavailableError`.
    """

    def __init__(
        self,
        credentials: CloudCredentials,
        *,
        region: str | None = None,
        interface: str = "public",
        guard: Guard | None = None,
        connect_timeout: float = 5.0,
        read_timeout: float = 30.0,
        token_cache: TokenCache | None = None,
        rules: ConnectionRules | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._credentials = credentials
        self._transport = Transport(
            credentials,
            region=region,
            interface=interface,
            guard=guard,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            token_cache=token_cache,
            rules=rules or ConnectionRules(),
            observer=observer,
        )

    @classmethod
    def from_clouds_yaml(cls, name: str) -> Cloud:
        """Open the cloud of this name in openstacksdk's `clouds.yaml`. Raises `InvalidCloudRequestError` when it is not there."""
        from openstack.config import OpenStackConfig  # noqa: PLC0415 - slow to import; see the package's docstring.

        try:
            with warnings.catch_warnings():
                # Every read of the file warns that support for InfluxDB will be removed, even where it is not used.
                warnings.simplefilter("ignore", PendingDeprecationWarning)
                cloud_config = OpenStackConfig().get_one(cloud=name)
        except Exception as exception:  # noqa: BLE001 - translated; errors of other origins are raised unchanged.
            problem = error_from_exception(
                exception, service="identity", doing=f"read cloud {name} of clouds.yaml"
            )
            raised: Exception = exception if problem is None else problem
        else:
            settings: dict[str, Any] = dict(cloud_config.config.get("auth") or {})
            known = {key: settings[key] for key in CloudCredentials.__dataclass_fields__ if settings.get(key)}
            known.setdefault("auth_url", "")
            ca_bundle = _read_ca_bundle(cloud_config.config.get("cacert"))
            return cls(
                CloudCredentials(**{**known, "ca_bundle": ca_bundle}),
                region=cloud_config.region_name or None,
                interface=_normalize_interface(cloud_config),
            )
        raise raised

    @property
    def credentials(self) -> CloudCredentials:
        """The credentials of this account. Their `repr` hides the secrets; do not log their fields."""
        return self._credentials

    @property
    def region(self) -> str | None:
        """The region of the account, or None for the catalog's first."""
        return self._transport.region

    @property
    def interface(self) -> str:
        """The interface of the endpoints: public, internal or admin."""
        return self._transport.interface

    @cached_property
    def compute(self) -> Compute:
        """Servers, flavors, key pairs and zones."""
        return Compute(self._transport)

    @cached_property
    def block_storage(self) -> BlockStorage:
        """Volumes, their snapshots and types."""
        return BlockStorage(self._transport)

    @cached_property
    def network(self) -> Networks:
        """Networks, subnets, ports, routers, floating IPs and security groups."""
        return Networks(self._transport)

    @cached_property
    def image(self) -> Images:
        """Images."""
        return Images(self._transport)

    @property
    def project_id(self) -> str:
        """The id of the project that the credentials are for. Logs in if necessary."""
        return self._transport.project_id

    def list_regions(self) -> list[str]:
        """List the regions in which this account's catalog has compute, sorted by name; [""] when it names none.

        "" stands for a cloud without regions; pass `region=None` to open it.
        """
        found = {
            endpoint.region
            for endpoint in self._list_endpoints()
            if endpoint.service == "compute" and endpoint.interface == self._transport.interface
        }
        named = sorted(found - {""})
        return named or sorted(found)

    def list_services(self) -> dict[str, list[str]]:
        """List the types of services that the catalog has for this account's interface, by region; both sorted.

        The types are OpenStack's official ones: a catalog's `volumev3` is `block-storage` here. Logs in if necessary. The
        catalog is as old as the token. A request to a service that is not in it raises `CloudServiceMissingError`.
        """
        found: dict[str, set[str]] = {}
        for endpoint in self._list_endpoints():
            if endpoint.interface == self._transport.interface:
                found.setdefault(endpoint.region, set()).add(endpoint.service)
        return {region: sorted(found[region]) for region in sorted(found)}

    def list_interfaces(self) -> list[str]:
        """List the interfaces for which the catalog has compute endpoints, sorted."""
        return sorted(
            {endpoint.interface for endpoint in self._list_endpoints() if endpoint.service == "compute"}
        )

    def clock_offset(self) -> float | None:
        """Return how many seconds the cloud's clock is ahead of ours (negative: behind), by the service that differs most.

        None when no answer was dated.
        """
        return self._transport.clock.worst_offset()

    def _list_endpoints(self) -> list[Endpoint]:
        return list(list_endpoints(self._transport.get_access()))

    def check(self) -> None:
        """Log in and call the compute endpoint. Raises `CloudError`."""
        self._transport.get_access()
        self.compute.check()

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Cloud {self._credentials.auth_url} {self.region or '(first region)'}>"


def _read_ca_bundle(path: str | None) -> str | None:
    """Return the certificates in a file that clouds.yaml names. Raises `InvalidCloudRequestError`."""
    if not path:
        return None
    try:
        return Path(path).expanduser().read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        why = error.strerror
    raise InvalidCloudRequestError(
        f"The file of trusted certificates (CA bundle) cannot be read: {path}: {why}."
    )


def _normalize_interface(cloud_config: Any) -> str:
    """Return the interface of clouds.yaml, which may have the form of Keystone v2 (`publicURL`)."""
    interface = str(cloud_config.config.get("interface") or "").removesuffix("URL")
    return interface if interface in INTERFACES else "public"
