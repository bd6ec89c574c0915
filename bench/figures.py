"""Figures, each with its yardstick or its bound, and their tables."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

Unit = Literal["ms", "us", "MiB", "/s", "of 1"]

SCALES: dict[Unit, float] = {"ms": 1e3, "us": 1e6, "MiB": 1 / 1024, "/s": 1.0, "of 1": 1.0}
"""Factors from the stored unit (seconds, KiB, numbers per second, parts of 1) to the printed one."""
MORE_IS_BETTER: tuple[Unit, ...] = ("/s", "of 1")


@dataclass(frozen=True, slots=True)
class Figure:
    """One comparison: samples of `ours` and of its yardstick, in seconds, KiB, numbers per second, or parts of 1.

    `bound` is the largest ratio allowed, or the smallest if more is better; without a bound the
    figure is for information. The spread is half the interquartile range of the samples, over their median.
    """

    HEADER: ClassVar = ["median of", "dibs", "yardstick", "ratio", "spread", "n", "bound", "verdict"]

    name: str
    ours: Sequence[float]
    theirs: Sequence[float]
    unit: Unit
    bound: float | None = None

    @property
    def ratio(self) -> float:
        """Return the median of Dibs over the median of the yardstick."""
        return statistics.median(self.ours) / statistics.median(self.theirs)

    @property
    def missed(self) -> bool:
        """Return whether the ratio misses its bound."""
        return self.bound is not None and self.of_bound() > 1

    def of_bound(self) -> float:
        """Return which part of the bound is used; more than 1 is a miss."""
        assert self.bound is not None, "the figure has a bound"
        return self.bound / self.ratio if self.unit in MORE_IS_BETTER else self.ratio / self.bound

    def row(self) -> list[str]:
        """Return the cells of the figure's row in the table."""
        return [
            self.name,
            formatted(statistics.median(self.ours), self.unit),
            formatted(statistics.median(self.theirs), self.unit),
            f"{self.ratio:.2f}",
            f"{_spread(self.ours):.0%} / {_spread(self.theirs):.0%}",
            str(min(len(self.ours), len(self.theirs))),
            "" if self.bound is None else f"{'>=' if self.unit in MORE_IS_BETTER else '<='} {self.bound:g}",
            _verdict(self),
        ]


@dataclass(frozen=True, slots=True)
class Promise:
    """Samples of a wait in seconds, and the promised `bound` in seconds. Without a bound they are for information.

    One sample in a hundred may exceed the bound, unless `every` is set.
    """

    HEADER: ClassVar = ["time of", "p50", "p99", "max", "n", "promised", "verdict"]

    name: str
    samples: Sequence[float]
    bound: float | None = None
    unit: Literal["ms", "us"] = "ms"
    every: bool = False

    @property
    def missed(self) -> bool:
        """Return whether the p99 exceeds the bound; of fewer than a hundred samples, the maximum."""
        return self.bound is not None and self.of_bound() > 1

    def of_bound(self) -> float:
        """Return which part of the bound is used; more than 1 is a miss."""
        assert self.bound is not None, "the promise has a bound"
        return rank(self.samples, 1 if self.every else 0.99) / self.bound

    def row(self) -> list[str]:
        """Return the cells of the figure's row in the table."""
        return [
            self.name,
            *(formatted(rank(self.samples, part), self.unit) for part in (0.5, 0.99, 1)),
            str(len(self.samples)),
            "" if self.bound is None else f"{'all ' * self.every}<= {formatted(self.bound, self.unit)}",
            _verdict(self),
        ]


Measured = Figure | Promise


def rank(samples: Sequence[float], part: float) -> float:
    """The nearest-rank percentile: the smallest sample with at least `part` of all at or below it."""
    return sorted(samples)[math.ceil(part * len(samples)) - 1]


def to_json(figure: Measured) -> dict[str, Any]:
    """Return the figure as JSON values, with every sample to five digits."""
    values = asdict(figure)
    for name, value in values.items():
        if isinstance(value, list | tuple):
            values[name] = [float(f"{one:.5g}") for one in value]
    return {"kind": type(figure).__name__, **values}


def from_json(values: dict[str, Any]) -> Measured:
    """Return the figure that `to_json` wrote."""
    made: dict[str, type[Measured]] = {"Figure": Figure, "Promise": Promise}
    return made[values["kind"]](**{name: value for name, value in values.items() if name != "kind"})


def formatted(value: float, unit: Unit) -> str:
    """Return a value in its unit, to four digits."""
    scaled = value * SCALES[unit] if unit != "of 1" else value
    digits = f"{scaled:.4g}"
    if abs(scaled) >= 1_000:  # otherwise 99,330 would be 9.933e+04
        digits = f"{float(digits):,.0f}"
    return digits if unit == "of 1" else f"{digits} {unit}"


def tables(figures: Sequence[Measured], *, markdown: bool = False) -> str:
    """Return one table of the comparisons, and one of the promises; an empty string without figures."""
    some: list[list[Measured]] = [
        [figure for figure in figures if isinstance(figure, Figure)],
        [figure for figure in figures if isinstance(figure, Promise)],
    ]
    return "\n\n".join(_table(of_a_kind, markdown=markdown) for of_a_kind in some if of_a_kind)


def _table(figures: Sequence[Measured], *, markdown: bool) -> str:
    rows = [figures[0].HEADER, *(figure.row() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    if not markdown:
        return "\n".join(_joined(row, widths) for row in [rows[0], ["-" * width for width in widths], *rows[1:]])
    rule = ["---" if place == 0 else "--:" for place in range(len(widths))]
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], rule, *rows[1:]])


def _verdict(figure: Measured) -> str:
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
