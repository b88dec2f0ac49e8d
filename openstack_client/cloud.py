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
from .transport import Guard, TokenCache, Transport

__all__ = ["Cloud", "TokenCache"]


class Cloud:
    """One account in one region. Nothing is sent before the first call; then a login, whose token is kept.

    `interface` is for whom the endpoints are that are asked: "public", "internal" or "admin".
    `guard` is called before every HTTP request leaves and may raise anything; what it raises comes out unchanged.
    Timeouts are in seconds. `token_cache` shares the token between processes. `rules` say where connections may go
    and how much a cloud may answer. Safe for use by several threads.
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
        )

    @classmethod
    def from_clouds_yaml(cls, name: str, *, region: str | None = None, guard: Guard | None = None) -> Cloud:
        """Open the cloud of this name in openstacksdk's `clouds.yaml`. Raises `InvalidCloudRequestError` when it is not there."""
        from openstack.config import OpenStackConfig  # noqa: PLC0415 - slow to import; see the package's docstring.

        try:
            with warnings.catch_warnings():
                # Every reading of the file warns that InfluxDB's support will go, asked for or not.
                warnings.simplefilter("ignore", PendingDeprecationWarning)
                found = OpenStackConfig().get_one(cloud=name)
        except Exception as exception:  # noqa: BLE001 - sorted by the translation; what is not theirs goes on.
            problem = error_from_exception(
                exception, service="identity", doing=f"read cloud {name} of clouds.yaml"
            )
            raised: Exception = exception if problem is None else problem
        else:
            settings: dict[str, Any] = dict(found.config.get("auth") or {})
            known = {key: settings[key] for key in CloudCredentials.__dataclass_fields__ if settings.get(key)}
            known.setdefault("auth_url", "")
            ca_bundle = _read_ca_bundle(found.config.get("cacert"))
            return cls(
                CloudCredentials(**{**known, "ca_bundle": ca_bundle}),
                region=region or found.region_name or None,
                interface=_normalize_interface(found),
                guard=guard,
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

    def regions(self) -> list[str]:
        """List the regions in which this account's catalog has compute, sorted by name; [""] when it names none.

        "" stands for the whole of a cloud that has no regions, and is no name to ask for: `region` is None then.
        """
        found = {
            one.region
            for one in self._endpoints()
            if one.service == "compute" and one.interface == self._transport.interface
        }
        named = sorted(found - {""})
        return named or sorted(found)

    def services(self) -> dict[str, list[str]]:
        """Return the types of services that the catalog offers in each region, sorted, by the region's name.

        Those of this account's interface alone. The types are OpenStack's official ones: a catalog that calls block storage `volumev3` has `block-storage` here.
        Logs in if that was not done yet. The catalog is as old as the token. What is not in it raises `CloudServiceMissingError`.
        """
        found: dict[str, set[str]] = {}
        for one in self._endpoints():
            if one.interface == self._transport.interface:
                found.setdefault(one.region, set()).add(one.service)
        return {region: sorted(found[region]) for region in sorted(found)}

    def interfaces(self) -> list[str]:
        """Return the interfaces for which the catalog has compute endpoints: "public", "internal", "admin"; sorted."""
        return sorted({one.interface for one in self._endpoints() if one.service == "compute"})

    def clock_offset(self) -> float | None:
        """Return by how many seconds the cloud's clock is ahead of ours (negative: behind), of the service that is furthest.

        None when no answer has said what time it is there.
        """
        return self._transport.clock.worst_offset()

    def _endpoints(self) -> list[Endpoint]:
        return list(list_endpoints(self._transport.access()))

    def check(self) -> None:
        """Log in and touch the compute endpoint. Raises a `CloudError` that says what is wrong."""
        self._transport.access()
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


def _normalize_interface(found: Any) -> str:
    """Return the interface of clouds.yaml, which may be written as Keystone's first version did (`publicURL`)."""
    said = str(found.config.get("interface") or "").removesuffix("URL")
    return said if said in INTERFACES else "public"
