"""The page with the graph around one feature: why it is blocked, and what waits for it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from dibs.board.page import Asked, Page
from dibs.queries.graph_around import Neighbour, Neighbourhood, around

if TYPE_CHECKING:
    from dibs.board.project import Project
    from dibs.database.transaction import Transaction

MOST = 60
"""The features in the picture."""
ACROSS = 3
"""The features side by side: as many as are readable on a phone."""
WIDTH, BOX_WIDTH, BOX_HEIGHT, GAP, LAYER_GAP = 360, 112, 44, 8, 24
"""Units of the picture, which are pixels at a width of 360."""


@dataclass(frozen=True, slots=True)
class Box:
    """A feature in the picture: the place of its left upper corner, and whether it is on the critical path."""

    feature: Neighbour
    x: float
    y: float
    critical: bool


@dataclass(frozen=True, slots=True)
class Arrow:
    """An arrow from a dependency down to its dependent, as an SVG path."""

    path: str
    critical: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """The graph as boxes and arrows, and its height."""

    boxes: list[Box]
    arrows: list[Arrow]
    height: float


def _read(tx: Transaction, _: Project, asked: Asked) -> dict[str, Any]:
    root = asked.path["id"]
    found = around(tx, root, MOST)
    chain = found.longest_unmet_chain(root)
    return {"root": found.features[root], "found": found, "chain": chain, "picture": picture(found, chain)}


def picture(found: Neighbourhood, chain: list[int]) -> Picture:
    """Place dependencies above their dependents, in lines of three. The `chain` is the critical path."""
    boxes: dict[int, Box] = {}
    y = float(GAP)
    for layer in _layers(found):
        for start in range(0, len(layer), ACROSS):
            line = layer[start : start + ACROSS]
            left = (WIDTH - len(line) * (BOX_WIDTH + GAP) + GAP) / 2
            for place, one in enumerate(line):
                boxes[one] = Box(found.features[one], left + place * (BOX_WIDTH + GAP), y, one in chain)
            y += BOX_HEIGHT + GAP
        y += LAYER_GAP
    steps = set(pairwise(chain))
    arrows = [
        Arrow(_curve(boxes[need], box), (need, box.feature.id) in steps)
        for box in boxes.values()
        for need in box.feature.needs
    ]
    return Picture(list(boxes.values()), arrows, y - LAYER_GAP)


def _layers(found: Neighbourhood) -> list[list[int]]:
    """Return the features by the length of the longest chain of dependencies above them."""
    depths: dict[int, int] = {}

    def depth(one: int) -> int:
        if one not in depths:
            depths[one] = max((depth(need) + 1 for need in found.features[one].needs), default=0)
        return depths[one]

    layers: dict[int, list[int]] = {}
    for one in found.features:
        layers.setdefault(depth(one), []).append(one)
    return [layers[one] for one in sorted(layers)]


def _curve(above: Box, below: Box) -> str:
    x, y = above.x + BOX_WIDTH / 2, above.y + BOX_HEIGHT
    to_x, to_y = below.x + BOX_WIDTH / 2, below.y
    middle = (y + to_y) / 2
    return f"M{x:g} {y:g}C{x:g} {middle:g} {to_x:g} {middle:g} {to_x:g} {to_y:g}"


PAGE = Page("/feature/{id:int}/graph", "Graph", "graph.html", ("graph",), _read)
