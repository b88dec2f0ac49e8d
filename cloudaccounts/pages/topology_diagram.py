"""A topology as a picture: bands of boxes, the nearer the higher, with lines between them. The template makes SVG of it."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from statistics import fmean
from typing import ClassVar
from uuid import UUID

from ..models import CloudResource
from ..registry import type_label
from ..services.topology import Topology

WIDTH, HEIGHT = 140, 46
ACROSS, DOWN = WIDTH + 12, HEIGHT + 30
# Between the last row of a band and the first of the next, so that lines can be told apart.
BETWEEN = 34
MARGIN = 12
IN_A_ROW = 8
# More than so many of one type that hang from the same are drawn as a few of them and one box for the rest.
CROWD, FIRST_OF_CROWD = 8, 5
# In the columns of a terminal, as Chinese letters are twice as wide.
LETTERS = 16


@dataclass(slots=True)
class Box:
    """A resource: how far it is from the first one, and where its middle is drawn."""

    resource: CloudResource
    type: str
    distance: int
    x: int = 0
    y: int = 0
    # What it is linked with that is nearer, or stands before it: each link is told once.
    links: list[tuple[str, Box]] = field(default_factory=list)
    # How many this one box stands for, when it is drawn for the rest of a crowd; or the box that is drawn for this one.
    crowd: int = 0
    drawn_as: Box | None = None

    @property
    def drawn(self) -> Box:
        """The box that the picture has of it."""
        return self.drawn_as or self

    @property
    def name(self) -> str:
        """Its name, or its id in the cloud when it has none."""
        return self.resource.name or self.resource.cloud_id

    @property
    def short_name(self) -> str:
        """As much of its name as the box has room for."""
        return shortened(self.name)

    @property
    def left(self) -> int:
        """Where the box begins."""
        return self.x - WIDTH // 2

    @property
    def top(self) -> int:
        """Where the box begins."""
        return self.y - HEIGHT // 2


@dataclass(frozen=True, slots=True)
class Line:
    """That one refers to the other."""

    path: str
    kind: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """The data that the template draws and describes."""

    box_width: ClassVar[int] = WIDTH
    box_height: ClassVar[int] = HEIGHT
    width: int
    height: int
    bands: list[tuple[int, list[Box]]]
    lines: list[Line]
    truncated: bool

    @property
    def boxes(self) -> list[Box]:
        """All of them, the nearest first."""
        return [box for _distance, boxes in self.bands for box in boxes]

    @property
    def drawn(self) -> list[Box]:
        """Those that the picture has."""
        return [box for box in self.boxes if box.drawn_as is None]


def draw(topology: Topology) -> Drawing:
    """Put each resource where it is to be drawn: in the band of its distance, below those that it is linked with."""
    near: dict[UUID, list[UUID]] = defaultdict(list)
    for source, target, _kind in topology.edges:
        near[source].append(target)
        near[target].append(source)
    distances = _distances([node.pk for node in topology.nodes], near)
    boxes = {
        node.pk: Box(node, type_label(node.account.provider, node.type), distances[node.pk])
        for node in topology.nodes
    }
    bands = [
        (distance, sorted(band, key=attrgetter("type", "name")))
        for distance, band in groupby(
            sorted(boxes.values(), key=attrgetter("distance")), attrgetter("distance")
        )
    ]
    for _distance, band in bands:
        _gather(band, boxes, near)
    drawn = [[box for box in band if box.drawn_as is None] for _distance, band in bands]
    width = max(min(len(band), IN_A_ROW) for band in drawn) * ACROSS + 2 * MARGIN
    below = MARGIN
    for band in drawn:
        band.sort(key=lambda box: _middle(box, boxes, near))
        below = _place(band, below)
    return Drawing(width, below - BETWEEN, bands, _lines(topology, boxes), topology.truncated)


def shortened(text: str, most: int = LETTERS) -> str:
    """As much of a text as fits, with a sign that there is more."""
    taken = 0
    for position, letter in enumerate(text):
        taken += 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if taken > most:
            return f"{text[: max(1, position - 1)]}…"
    return text


def _distances(nodes: list[UUID], near: dict[UUID, list[UUID]]) -> dict[UUID, int]:
    """How many links each is away from the first."""
    known = set(nodes)
    distances = {nodes[0]: 0}
    frontier = [nodes[0]]
    while frontier:
        following = []
        for node in frontier:
            for other in near[node]:
                if other in known and other not in distances:
                    distances[other] = distances[node] + 1
                    following.append(other)
        frontier = following
    # A link that went while it was being looked for leaves its end with none.
    last = max(distances.values())
    return {node: distances.get(node, last) for node in nodes}


def _above(box: Box, boxes: dict[UUID, Box], near: dict[UUID, list[UUID]]) -> list[Box]:
    """Return the boxes that a box hangs from, as they are drawn."""
    others = [boxes[other] for other in near[box.resource.pk] if other in boxes]
    return [other.drawn for other in others if other.distance < box.distance]


def _gather(band: list[Box], boxes: dict[UUID, Box], near: dict[UUID, list[UUID]]) -> None:
    """Let one box stand for most of those that nothing but their names tells apart."""
    alike: dict[tuple[str, frozenset[UUID]], list[Box]] = defaultdict(list)
    for box in band:
        above = frozenset(other.resource.pk for other in _above(box, boxes, near))
        alike[box.type, above].append(box)
    for crowd in alike.values():
        if len(crowd) > CROWD:
            first, *rest = crowd[FIRST_OF_CROWD:]
            first.crowd = len(rest) + 1
            for box in rest:
                box.drawn_as = first


def _middle(box: Box, boxes: dict[UUID, Box], near: dict[UUID, list[UUID]]) -> tuple[float, str, bool, str]:
    """Where a box would best stand: below the middle of those that it hangs from."""
    above = [other.x for other in _above(box, boxes, near)]
    return fmean(above) if above else 0.0, box.type, box.crowd > 0, box.name


def _place(band: list[Box], top: int) -> int:
    """Give the boxes of a band their places, in rows from the left, where a narrow screen begins; where the next band begins."""
    for start in range(0, len(band), IN_A_ROW):
        for column, box in enumerate(band[start : start + IN_A_ROW]):
            box.x, box.y = MARGIN + column * ACROSS + ACROSS // 2, top + HEIGHT // 2
        top += DOWN
    return top + BETWEEN


def _lines(topology: Topology, boxes: dict[UUID, Box]) -> list[Line]:
    """A line for each link, and of the many of a crowd one; the boxes are told of their links as well."""
    order = {pk: number for number, pk in enumerate(sorted(boxes, key=lambda pk: boxes[pk].distance))}
    lines: dict[tuple[str, str], Line] = {}
    for source, target, _kind in topology.edges:
        one, other = boxes.get(source), boxes.get(target)
        if one is None or other is None or one is other:
            continue
        kind = f"{one.type} → {other.type}"
        nearer, further = (one, other) if order[source] < order[target] else (other, one)
        further.links.append((kind, nearer))
        if one.drawn is not other.drawn:
            path = _path(one.drawn, other.drawn)
            lines[path, kind] = Line(path, kind)
    return list(lines.values())


def _path(one: Box, other: Box) -> str:
    """A straight line; a bow between two of one row, which would have the boxes between them upon it."""
    if one.y == other.y:
        return f"M{one.x} {one.y}Q{(one.x + other.x) // 2} {one.y + DOWN} {other.x} {other.y}"
    return f"M{one.x} {one.y}L{other.x} {other.y}"
