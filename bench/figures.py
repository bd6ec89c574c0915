"""Figures, each beside the one it is measured against, and the table of them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Unit = Literal["ms", "us", "MiB", "/s"]

SCALES: dict[Unit, float] = {"ms": 1e3, "us": 1e6, "MiB": 1 / 1024, "/s": 1.0}
"""From seconds, KiB and numbers a second to what is printed."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One comparison: samples of `ours` and of its yardstick, in seconds, KiB, or numbers a second.

    `bound` is what the ratio may be at most, or must be at least where more is better (`/s`); without
    one the figure is for information.
    """

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
        verdict = "" if self.bound is None else "MISSED" if self.missed else "kept"
        return [
            self.name,
            f"{statistics.median(self.ours) * scale:.4g} {self.unit}",
            f"{statistics.median(self.theirs) * scale:.4g} {self.unit}",
            f"{self.ratio:.2f}",
            f"{_spread(self.ours):.0%} / {_spread(self.theirs):.0%}",
            str(min(len(self.ours), len(self.theirs))),
            bound,
            verdict,
        ]


HEADER = ["median of", "dibs", "yardstick", "ratio", "spread", "n", "bound", "verdict"]


def table(figures: Sequence[Figure]) -> str:
    """All of them, in columns. The spread is half the middle half of the samples, over their median."""
    rows = [HEADER, *(figure.row() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    return "\n".join(_joined(row, widths) for row in [rows[0], ["-" * width for width in widths], *rows[1:]])


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
