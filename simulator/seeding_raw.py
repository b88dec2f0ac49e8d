"""Objects with odd fields, as clouds that are broken or newer than we know show them: for tests of clients."""

from __future__ import annotations

from typing import Any

from .exchange import bad_request
from .seeding_things import KEPT_AS, Maker
from .state import Region, Thing


def make_raw(maker: Maker, kind: str, raw: Thing, name: str) -> str:
    """An object of a kind, settled and proper, with the fields of `raw` in place of its own; returns its id.

    Raises `Refused` when it cannot be: an id that is no text or is taken.
    """
    if kind == "keypairs":
        raise bad_request("key pairs cannot be raw")
    things: dict[str, Thing] = getattr(maker.region, KEPT_AS.get(kind, kind))
    wanted_id = raw.get("id")
    if wanted_id is not None and (not isinstance(wanted_id, str) or not wanted_id or wanted_id in things):
        raise bad_request("the id of a raw object is a text that is not taken yet")
    thing_id = maker.make(kind, name)
    if wanted_id is not None:
        _rename(maker.region, things, thing_id, wanted_id)
        thing_id = wanted_id
    overlay(things[thing_id], raw)
    return thing_id


def overlay(thing: Thing, raw: Thing) -> None:
    """Put odd fields on an object.

    What could have been there goes in its place. The rest is only shown: the simulator itself goes on with sane values.
    """
    odd: Thing = thing.setdefault("_raw", {})
    for name, value in raw.items():
        if name == "id":
            continue
        if _could_be(thing, name, value):
            thing[name] = value
            odd.pop(name, None)
        else:
            odd[name] = value
    if not odd:
        del thing["_raw"]


def _could_be(thing: Thing, name: str, value: Any) -> bool:
    if name not in thing:
        # A property of an image, by which one may also filter.
        return isinstance(value, str)
    if isinstance(value, dict):
        return name == "metadata"
    return isinstance(value, str | int | bool) and type(value) is type(thing[name])


def _rename(region: Region, things: dict[str, Thing], before: str, after: str) -> None:
    thing = things.pop(before)
    thing["id"] = after
    things[after] = thing
    network = region.networks.get(thing.get("network_id", ""))
    if network is not None and before in network["subnets"]:
        network["subnets"][network["subnets"].index(before)] = after
