"""Where boxes and arrows of a graph go: columns by the longest way from the inputs, few crossings, arrows around boxes.

After Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system structures", 1981: an arrow
over several columns is a chain of points, one a column, that take part as boxes without a height do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from itertools import pairwise

ROW_GAP = 24.0
SWEEPS = 12
LANE = 10.0  # height that a passing arrow is given

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """What is to be placed; its position is the upper left corner. It gets as wide as its column."""

    name: str
    width: float
    height: float
    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True, slots=True)
class Arrow:
    """A way from one box's right side to the other's left: points with a horizontal way through each of them."""

    begin: str
    end: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """Boxes and arrows in their places, the upper left corner of all at 0, 0."""

    boxes: Mapping[str, Box]
    arrows: tuple[Arrow, ...]
    width: float
    height: float


def laid_out(boxes: Sequence[Box], arrows: Sequence[tuple[str, str]], gaps: Mapping[str, float]) -> Layout:
    """Place boxes in columns.

    Args:
        boxes: With their sizes.
        arrows: From one box to another; they make no circle, and none is there twice.
        gaps: Room that is needed to the right of a box, by its name.
    """
    grid = _Grid({box.name: box for box in boxes}, arrows)
    grid.fill()
    for sweep in range(SWEEPS):
        grid.sort(forward=sweep % 2 == 0)
    grid.settle()
    return grid.layout(gaps)


@dataclass(slots=True, eq=False)
class _Slot:
    """A box in its column, or a point of an arrow that passes."""

    column: int
    height: float
    centre: float = 0.0
    before: list[_Slot] = field(default_factory=list)
    after: list[_Slot] = field(default_factory=list)


class _Grid:
    def __init__(self, boxes: Mapping[str, Box], arrows: Sequence[tuple[str, str]]) -> None:
        self._boxes, self._arrows = boxes, arrows
        self._slots: dict[str, _Slot] = {}
        self._chains: list[list[_Slot]] = []
        self._columns: list[list[_Slot]] = []

    def fill(self) -> None:
        """Put every box, and every point of a long arrow, into its column."""
        needs: dict[str, list[str]] = {name: [] for name in self._boxes}
        for begin, end in self._arrows:
            needs[end].append(begin)
        columns: dict[str, int] = {}
        for name in TopologicalSorter(needs).static_order():
            columns[name] = max((columns[need] + 1 for need in needs[name]), default=0)
        last = max(columns.values())
        begins = {begin for begin, _ in self._arrows}
        self._columns = [[] for _ in range(last + 1)]
        for name, box in self._boxes.items():
            column = columns[name] if name in begins else last
            self._slots[name] = self._put(_Slot(column, box.height))
        for begin, end in self._arrows:
            first, target = self._slots[begin], self._slots[end]
            between = [self._put(_Slot(column, LANE)) for column in range(first.column + 1, target.column)]
            self._chains.append([first, *between, target])
            for one, other in pairwise(self._chains[-1]):
                one.after.append(other)
                other.before.append(one)

    def _put(self, slot: _Slot) -> _Slot:
        self._columns[slot.column].append(slot)
        return slot

    def sort(self, *, forward: bool) -> None:
        """Bring each column into the order of what its slots are connected with on one side."""
        self._stack()
        for column in self._columns if forward else reversed(self._columns):
            column.sort(key=lambda slot: _mean(slot.before if forward else slot.after, slot.centre))
            _stack(column)

    def _stack(self) -> None:
        for column in self._columns:
            _stack(column)

    def settle(self) -> None:
        """Move slots towards what they are connected with, keeping their order and the gaps."""
        self._stack()
        for sweep in range(SWEEPS):
            for column in self._columns if sweep % 2 == 0 else reversed(self._columns):
                wanted = [_mean([*slot.before, *slot.after], slot.centre) for slot in column]
                for slot, centre in zip(column, spread(wanted, _offsets(column)), strict=True):
                    slot.centre = centre

    def layout(self, gaps: Mapping[str, float]) -> Layout:
        """The result."""
        top = min(slot.centre - slot.height / 2 for column in self._columns for slot in column)
        names = {id(slot): name for name, slot in self._slots.items()}
        placed: dict[str, Box] = {}
        lefts, widths, x = list[float](), list[float](), 0.0
        for column in self._columns:
            inside = [self._boxes[names[id(slot)]] for slot in column if id(slot) in names]
            lefts.append(x)
            widths.append(max(box.width for box in inside))
            for box in inside:
                slot = self._slots[box.name]
                placed[box.name] = Box(box.name, widths[-1], box.height, x, slot.centre - slot.height / 2 - top)
            x += widths[-1] + max(gaps[box.name] for box in inside)
        height = max(slot.centre + slot.height / 2 for column in self._columns for slot in column) - top
        arrows = list[Arrow]()
        for pair, chain in zip(self._arrows, self._chains, strict=True):
            passed = [(slot, slot.centre - top) for slot in chain[1:-1]]
            between = [
                (x, y) for slot, y in passed for x in (lefts[slot.column], lefts[slot.column] + widths[slot.column])
            ]
            arrows.append(self._arrow(pair, chain, placed, between))
        return Layout(placed, tuple(arrows), lefts[-1] + widths[-1], height)

    def _arrow(
        self, pair: tuple[str, str], chain: Sequence[_Slot], placed: Mapping[str, Box], between: Sequence[Point]
    ) -> Arrow:
        begin, end = placed[pair[0]], placed[pair[1]]
        first, last = chain[0], chain[-1]
        first_y = begin.y + begin.height * _port(first.after, chain[1])
        last_y = end.y + end.height * _port(last.before, chain[-2])
        points = ((begin.x + begin.width, first_y), *between, (end.x, last_y))
        return Arrow(*pair, points)


def spread(wanted: Sequence[float], offsets: Sequence[float]) -> list[float]:
    """Positions nearest to the wanted ones (least squares) that are at least so far apart as their offsets are.

    Without the offsets this is isotonic regression, by pooling adjacent violators.
    """
    pools: list[tuple[float, int]] = []  # mean and how many
    for position, offset in zip(wanted, offsets, strict=True):
        mean, count = position - offset, 1
        while pools and pools[-1][0] > mean:
            before, many = pools.pop()
            mean, count = (before * many + mean * count) / (many + count), many + count
        pools.append((mean, count))
    flat = [mean for mean, count in pools for _ in range(count)]
    return [position + offset for position, offset in zip(flat, offsets, strict=True)]


def _offsets(column: Sequence[_Slot]) -> list[float]:
    """How far each slot's centre is from the first one's if nothing is between them but the gaps."""
    offsets = [0.0]
    for one, other in pairwise(column):
        offsets.append(offsets[-1] + (one.height + other.height) / 2 + ROW_GAP)
    return offsets


def _stack(column: Sequence[_Slot]) -> None:
    """One under the other, the middle at 0."""
    offsets = _offsets(column)
    for slot, offset in zip(column, offsets, strict=True):
        slot.centre = offset - offsets[-1] / 2


def _mean(slots: Sequence[_Slot], otherwise: float) -> float:
    return sum(slot.centre for slot in slots) / len(slots) if slots else otherwise


def _port(slots: Sequence[_Slot], slot: _Slot) -> float:
    """Where on its side, from 0 to 1, an arrow meets a box: in the order of the other ends."""
    ranked = sorted(slots, key=lambda other: other.centre)
    return (next(i for i, other in enumerate(ranked) if other is slot) + 1) / (len(slots) + 1)
