"""The contents of the simulated cloud, and its faults. Tests fill it, change it and remove from it between requests."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from ..http_messages import Response

ACCOUNT_ID = "1234567890123456"
REGIONS = ("cn-hangzhou", "cn-beijing", "eu-central-1")


class Refusal(Exception):
    """An answer that refuses a request, raised to end it."""

    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(code)
        self.answer = refuse(code, message, status, **more)


def refuse(code: str, message: str = "No.", status: int = 400, **more: Any) -> Response:
    """Return an answer by which the vendor refuses a request."""
    body = {
        "RequestId": "A07E3902-B92E-44A6-B6C5-6AA111111111",
        "HostId": "ecs.aliyuncs.com",
        "Code": code,
        "Message": message,
        **more,
    }
    return Response(status, body)


@dataclass(slots=True)
class AccessKey:
    """A key of a user, or of a role that was taken; the latter has a token."""

    secret: str
    arn: str
    token: str = ""
    is_active: bool = True
    is_expired: bool = False


class AlibabaState:
    """Access keys, objects by region and kind, and the faults that are armed. Thread-safe for what a test does between requests."""

    def __init__(self) -> None:
        self.guard = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget everything but the regions and their zones."""
        with self.guard:
            self.keys: dict[str, AccessKey] = {}
            self.nonces: set[str] = set()
            self.objects: dict[tuple[str, str], list[dict[str, Any]]] = {}
            # The actions that the policy of the user does not have: "ecs:DescribeDisks".
            self.denied: set[str] = set()
            # The number of requests of an action that are throttled from now on.
            self.throttled: dict[str, int] = {}
            # The external ID that the trust policies of roles require; "" for none.
            self.external_id = ""
            # The most objects of a page, below what the vendor documents.
            self.page_size: int | None = None
            # The seconds by which the clock of the cloud is ahead.
            self.clock_offset = 0.0
            self.taken_roles = 0
        for region in REGIONS:
            for letter in "bg":
                zone = f"{region}-{letter}"
                self.add(
                    region,
                    "zone",
                    ZoneId=zone,
                    LocalName=f"可用区 {letter.upper()}",
                    ZoneType="AvailabilityZone",
                )

    def add_key(self, key_id: str, secret: str, user: str = "portal", token: str = "") -> None:
        """Add an access key of a user; with a token, of a role that was taken."""
        kind = f"assumed-role/{user}" if token else f"user/{user}"
        self.keys[key_id] = AccessKey(secret, f"acs:ram::{ACCOUNT_ID}:{kind}", token)

    def add(self, region: str, kind: str, **members: Any) -> dict[str, Any]:
        """Add an object as its listing shows it, and return it, to be changed in place."""
        self.list(region, kind).append(members)
        return members

    def list(self, region: str, kind: str) -> list[dict[str, Any]]:
        """Return the objects of a kind in a region, to be changed in place."""
        return self.objects.setdefault((region, kind), [])

    def remove(self, region: str, kind: str, **members: Any) -> None:
        """Remove the objects that have all these members."""
        kept = [one for one in self.list(region, kind) if any(one.get(k) != v for k, v in members.items())]
        self.objects[region, kind] = kept
