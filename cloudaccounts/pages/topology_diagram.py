"""The layout of a topology: bands of boxes by their distance from the first, with lines between them. A template renders it as SVG."""

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
from ..services.topology import Edge, Topology
from .resource_labels import label_status

BOX_WIDTH, BOX_HEIGHT = 140, 46
COLUMN_WIDTH, ROW_HEIGHT = BOX_WIDTH + 12, BOX_HEIGHT + 30
# The gap between the last row of a band and the first of the next, in which lines stay apart.
BAND_GAP = 34
MARGIN = 12
BOXES_PER_ROW = 8
# More than MAX_ALIKE boxes of one type with the same parents are drawn as DRAWN_ALIKE boxes and one for the rest.
MAX_ALIKE, DRAWN_ALIKE = 8, 5
# The width of a label in terminal columns: Chinese characters take two.
LABEL_COLUMNS = 16


@dataclass(slots=True)
class Box:
    """A resource in the diagram: its distance from the first one in links, and the position of its middle."""

    resource: CloudResource
    type: str
    distance: int
    x: int = 0
    y: int = 0
    # Its links to boxes that are nearer, or stand before it: each link is listed once.
    links: list[tuple[str, Box]] = field(default_factory=list)
    # The number of boxes that this one is drawn for, itself included; 0 when it is drawn for itself alone.
    group_size: int = 0
    # The box that is drawn in place of this one.
    drawn_as: Box | None = None

    @property
    def visible_box(self) -> Box:
        """The box that is drawn for this one."""
        return self.drawn_as or self

    @property
    def name(self) -> str:
        """The name of the resource, or its id in the cloud."""
        return self.resource.name or self.resource.cloud_id

    @property
    def short_name(self) -> str:
        """The name, shortened to the width of the box."""
        return shorten_label(self.name)

    @property
    def status_label(self) -> str:
        """The status of the resource in the reader's language."""
        return label_status(self.resource.status, self.resource.type)

    @property
    def left(self) -> int:
        """The x of the left edge."""
        return self.x - BOX_WIDTH // 2

    @property
    def top(self) -> int:
        """The y of the top edge."""
        return self.y - BOX_HEIGHT // 2


@dataclass(frozen=True, slots=True)
class Line:
    """A line between two boxes: an SVG path, and the types that it links."""

    path: str
    kind: str


@dataclass(frozen=True, slots=True)
class Diagram:
    """The data that the template renders as a diagram and as text."""

    box_width: ClassVar[int] = BOX_WIDTH
    box_height: ClassVar[int] = BOX_HEIGHT
    width: int
    height: int
    bands: list[tuple[int, list[Box]]]
    lines: list[Line]
    truncated: bool

    @property
    def boxes(self) -> list[Box]:
        """All boxes, the nearest first."""
        return [box for _distance, boxes in self.bands for box in boxes]

    @property
    def visible_boxes(self) -> list[Box]:
        """The boxes that are drawn."""
        return [box for box in self.boxes if box.drawn_as is None]


def filter_topology(topology: Topology, type_code: str) -> Topology:
    """Return the first resource and those of one type. A chain of links over other types becomes one link.

    Each resource keeps the way by which it is reached: it is linked with the nearest one on that way that is still shown.
    """
    neighbors: dict[UUID, list[UUID]] = defaultdict(list)
    for source, target, _kind in topology.edges:
        neighbors[source].append(target)
        neighbors[target].append(source)
    root, known = topology.nodes[0], {node.pk: node for node in topology.nodes}
    shown = {root.pk} | {node.pk for node in topology.nodes if node.type == type_code}
    # Of each resource that was reached, the nearest one on its way that is shown.
    nearest = {root.pk: root.pk}
    edges: list[Edge] = []
    frontier = [root.pk]
    while frontier:
        following = []
        for pk in frontier:
            for other in neighbors[pk]:
                if other not in known or other in nearest:
                    continue
                nearest[other] = other if other in shown else nearest[pk]
                if other in shown:
                    edges.append((nearest[pk], other, f"{known[nearest[pk]].type}-{known[other].type}"))
                following.append(other)
        frontier = following
    nodes = [node for node in topology.nodes if node.pk in shown]
    return Topology(nodes, edges, topology.truncated)


def build_diagram(topology: Topology) -> Diagram:
    """Lay out a topology: each resource in the band of its distance, below the boxes that it is linked with."""
    neighbors: dict[UUID, list[UUID]] = defaultdict(list)
    for source, target, _kind in topology.edges:
        neighbors[source].append(target)
        neighbors[target].append(source)
    distances = _measure_distances([node.pk for node in topology.nodes], neighbors)
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
        _group_alike(band, boxes, neighbors)
    drawn_bands = [[box for box in band if box.drawn_as is None] for _distance, band in bands]
    width = max(min(len(band), BOXES_PER_ROW) for band in drawn_bands) * COLUMN_WIDTH + 2 * MARGIN
    below = MARGIN
    for band in drawn_bands:
        band.sort(key=lambda box: _sort_key(box, boxes, neighbors))
        below = _place_band(band, below)
    return Diagram(width, below - BAND_GAP, bands, _draw_lines(topology, boxes), topology.truncated)


def shorten_label(text: str, max_columns: int = LABEL_COLUMNS) -> str:
    """Return a text cut to a number of terminal columns, with an ellipsis if it was cut."""
    columns = 0
    for position, letter in enumerate(text):
        columns += 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if columns > max_columns:
            return f"{text[: max(1, position - 1)]}…"
    return text


def _measure_distances(nodes: list[UUID], neighbors: dict[UUID, list[UUID]]) -> dict[UUID, int]:
    """Return the distance of each node from the first, in links."""
    known = set(nodes)
    distances = {nodes[0]: 0}
    frontier = [nodes[0]]
    while frontier:
        following = []
        for node in frontier:
            for other in neighbors[node]:
                if other in known and other not in distances:
                    distances[other] = distances[node] + 1
                    following.append(other)
        frontier = following
    # A link may have been deleted between the queries; its end then counts as farthest.
    last = max(distances.values())
    return {node: distances.get(node, last) for node in nodes}


def _list_parents(box: Box, boxes: dict[UUID, Box], neighbors: dict[UUID, list[UUID]]) -> list[Box]:
    """Return the drawn boxes of the nearer resources that a box is linked with."""
    others = [boxes[other] for other in neighbors[box.resource.pk] if other in boxes]
    return [other.visible_box for other in others if other.distance < box.distance]


def _group_alike(band: list[Box], boxes: dict[UUID, Box], neighbors: dict[UUID, list[UUID]]) -> None:
    """Draw one box for most of those with equal type and parents."""
    groups: dict[tuple[str, frozenset[UUID]], list[Box]] = defaultdict(list)
    for box in band:
        parents = frozenset(other.resource.pk for other in _list_parents(box, boxes, neighbors))
        groups[box.type, parents].append(box)
    for group in groups.values():
        if len(group) > MAX_ALIKE:
            first, *rest = group[DRAWN_ALIKE:]
            first.group_size = len(rest) + 1
            for box in rest:
                box.drawn_as = first


def _sort_key(
    box: Box, boxes: dict[UUID, Box], neighbors: dict[UUID, list[UUID]]
) -> tuple[float, str, bool, str]:
    """Return the key that orders a band: boxes below the middle of their parents, then by type and name."""
    parents_x = [other.x for other in _list_parents(box, boxes, neighbors)]
    return fmean(parents_x) if parents_x else 0.0, box.type, box.group_size > 0, box.name


def _place_band(band: list[Box], top: int) -> int:
    """Place the boxes of a band in rows from the left; return the y of the next band."""
    for start in range(0, len(band), BOXES_PER_ROW):
        for column, box in enumerate(band[start : start + BOXES_PER_ROW]):
            box.x, box.y = MARGIN + column * COLUMN_WIDTH + COLUMN_WIDTH // 2, top + BOX_HEIGHT // 2
        top += ROW_HEIGHT
    return top + BAND_GAP


def _draw_lines(topology: Topology, boxes: dict[UUID, Box]) -> list[Line]:
    """Return a line for each link, one for all links of a group, and add the links to their boxes."""
    order = {pk: number for number, pk in enumerate(sorted(boxes, key=lambda pk: boxes[pk].distance))}
    lines: dict[tuple[str, str], Line] = {}
    for source, target, _kind in topology.edges:
        start, end = boxes.get(source), boxes.get(target)
        if start is None or end is None or start is end:
            continue
        kind = f"{start.type} → {end.type}"
        nearer, further = (start, end) if order[source] < order[target] else (end, start)
        further.links.append((kind, nearer))
        if start.visible_box is not end.visible_box:
            path = _draw_path(start.visible_box, end.visible_box)
            lines[path, kind] = Line(path, kind)
    return list(lines.values())


def _draw_path(start: Box, end: Box) -> str:
    """Return a straight path; between boxes of one row a curve, which passes below the boxes between them."""
    if start.y == end.y:
        return f"M{start.x} {start.y}Q{(start.x + end.x) // 2} {start.y + ROW_HEIGHT} {end.x} {end.y}"
    return f"M{start.x} {start.y}L{end.x} {end.y}"
