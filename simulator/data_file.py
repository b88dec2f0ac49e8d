"""The cloud as a file, so that a restarted demo finds what was there before."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from .ports import index_used_addresses
from .server import SimulatedServer
from .state import KINDS, Region, State, Token

_FORMAT = 1


def save(state: State, path: Path) -> None:
    """Write the state to a temporary file beside `path` and rename it, so that a crash leaves the old file whole."""
    with state.lock:
        state.dirty = False
        text = json.dumps(
            {
                "format": _FORMAT,
                "seed": state.seed,
                "projects": state.projects,
                "users": state.users,
                "grants": state.grants,
                "application_credentials": state.application_credentials,
                "missing_services": state.missing_services,
                "tokens": [
                    asdict(token) for token in state.tokens.values() if token.expires > state.clock.now()
                ],
                "regions": {
                    region.name: {
                        "servers": [server.to_json() for server in region.servers.values()],
                        "zones": region.zones,
                        **{kind: getattr(region, kind) for kind in KINDS},
                    }
                    for region in state.regions.values()
                },
            }
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    # Its passwords and tokens are a toy cloud's, yet nobody else's business.
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    beside.replace(path)


def load(state: State, path: Path) -> None:
    """Read what `save` wrote. Raises `ValueError` for any other file."""
    found = json.loads(path.read_text())
    if not isinstance(found, dict) or found.get("format") != _FORMAT:
        raise ValueError(f"{path} was not written by this version of the simulator")
    state.seed = found["seed"]
    # Not the seed itself: the ids that it gives were given already.
    state.random.seed(os.urandom(16))
    for name in ("projects", "users", "grants", "application_credentials"):
        setattr(state, name, found[name])
    # A file of before this could be said has none.
    state.missing_services = found.get("missing_services") or {}
    state.tokens = {raw["id"]: Token(**raw) for raw in found["tokens"]}
    state.regions = {}
    for name, raw in found["regions"].items():
        region = Region(name)
        for kind in KINDS:
            setattr(region, kind, raw[kind])
        # A file of before there were several has none.
        region.zones = raw.get("zones") or region.zones
        for saved in raw["servers"]:
            region.add_server(SimulatedServer(**saved))
        index_used_addresses(region)
        state.regions[name] = region
    state.dirty = False
