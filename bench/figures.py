"""Figures, each beside the one it is measured against or the time that is promised, and their tables."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

Unit = Literal["ms", "us", "MiB", "/s"]

SCALES: dict[Unit, float] = {"ms": 1e3, "us": 1e6, "MiB": 1 / 1024, "/s": 1.0}
"""From seconds, KiB and numbers a second to what is printed."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One comparison: samples of `ours` and of its yardstick, in seconds, KiB, or numbers a second.

    `bound` is what the ratio may be at most, or must be at least where more is better (`/s`); without
    one the figure is for information. The spread is half the middle half of the samples, over their median.
    """

    HEADER: ClassVar = ["median of", "dibs", "yardstick", "ratio", "spread", "n", "bound", "verdict"]

    name: str
    ours: Sequence[float]
    theirs: Sequence[float]
    unit: Unit
    bound: float | None = None

    @property
    def ratio(self) -> float:
        """Our median over the yardstick's."""
        return statistics.median(self.ours) / statistics.median(self.theirs)

    @property
    def missed(self) -> bool:
        """Whether there is a bound that the ratio does not keep."""
        if self.bound is None:
            return False
        return self.ratio < self.bound if self.unit == "/s" else self.ratio > self.bound

    def row(self) -> list[str]:
        """The cells of the table's row."""
        scale = SCALES[self.unit]
        bound = "" if self.bound is None else f"{'>=' if self.unit == '/s' else '<='} {self.bound:g}"
        return [
            self.name,
            f"{statistics.median(self.ours) * scale:.4g} {self.unit}",
            f"{statistics.median(self.theirs) * scale:.4g} {self.unit}",
            f"{self.ratio:.2f}",
            f"{_spread(self.ours):.0%} / {_spread(self.theirs):.0%}",
            str(min(len(self.ours), len(self.theirs))),
            bound,
            _verdict(self),
        ]


@dataclass(frozen=True, slots=True)
class Promise:
    """Samples of a wait in seconds, and the `bound` in seconds that is promised; without one, for information."""

    HEADER: ClassVar = ["time of", "p50", "p99", "max", "n", "promised", "verdict"]

    name: str
    samples: Sequence[float]
    bound: float | None = None
    unit: Literal["ms", "us"] = "ms"

    @property
    def missed(self) -> bool:
        """Whether more than one sample in a hundred is over the bound; of fewer than a hundred, whether any is."""
        return self.bound is not None and self._rank(0.99) > self.bound

    def row(self) -> list[str]:
        """The cells of the table's row."""
        times = [self._rank(part) for part in (0.5, 0.99, 1)]
        return [
            self.name,
            *(self._written(seconds) for seconds in times),
            str(len(self.samples)),
            "" if self.bound is None else f"<= {self._written(self.bound)}",
            _verdict(self),
        ]

    def _written(self, seconds: float) -> str:
        return f"{seconds * SCALES[self.unit]:.4g} {self.unit}"

    def _rank(self, part: float) -> float:
        """The smallest sample that so large a part of all does not exceed."""
        return sorted(self.samples)[math.ceil(part * len(self.samples)) - 1]


def table(figures: Sequence[Figure] | Sequence[Promise]) -> str:
    """All of them, in columns."""
    rows = [figures[0].HEADER, *(figure.row() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(_joined(row, widths) for row in [rows[0], ["-" * width for width in widths], *rows[1:]])


def _verdict(figure: Figure | Promise) -> str:
    return "" if figure.bound is None else "MISSED" if figure.missed else "kept"


def _joined(row: list[str], widths: list[int]) -> str:
    first, *others = (
        cell.ljust(width) if place in (0, len(widths) - 1) else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join([first, *others]).rstrip()


def _spread(samples: Sequence[float]) -> float:
    if len(samples) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(samples, n=4)
    return (high - low) / 2 / middle
