"""Nova: availability zones."""

from __future__ import annotations

from collections.abc import Callable

from .calls import Call
from .http_messages import Response


def list_zones(call: Call) -> Response:
    """List the availability zones. Their hosts are shown to administrators only."""
    found = [
        {"zoneName": name, "zoneState": {"available": is_available}, "hosts": None}
        for name, is_available in call.region.zones.items()
    ]
    return Response(200, {"availabilityZoneInfo": found})


TABLE: list[tuple[str, str, Callable[..., Response]]] = [("GET", "/os-availability-zone", list_zones)]
