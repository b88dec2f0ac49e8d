"""The cloud as a file, so that a restarted demo keeps its resources."""

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
    """Write the state to a temporary file beside `path` and rename it, so that a crash leaves the old file intact."""
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
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    # Readable by its owner only: it holds passwords and tokens.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    temporary.replace(path)


def load(state: State, path: Path) -> None:
    """Load a file that `save` has written. Raises `ValueError` for any other file."""
    found = json.loads(path.read_text())
    if not isinstance(found, dict) or found.get("format") != _FORMAT:
        raise ValueError(f"{path} was not written by this version of the simulator")
    state.seed = found["seed"]
    # Not the stored seed, which would generate existing ids again.
    state.random.seed(os.urandom(16))
    for name in ("projects", "users", "grants", "application_credentials"):
        setattr(state, name, found[name])
    # Files of earlier versions have no such field.
    state.missing_services = found.get("missing_services") or {}
    state.tokens = {raw["id"]: Token(**raw) for raw in found["tokens"]}
    state.regions = {}
    for name, raw in found["regions"].items():
        region = Region(name)
        for kind in KINDS:
            # Files of earlier versions do not have every kind.
            setattr(region, kind, raw.get(kind) or getattr(region, kind))
        # Files of earlier versions have no zones.
        region.zones = raw.get("zones") or region.zones
        for saved in raw["servers"]:
            region.add_server(SimulatedServer(**saved))
        index_used_addresses(region)
        state.regions[name] = region
    state.dirty = False
