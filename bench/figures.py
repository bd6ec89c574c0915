"""Figures, each beside the one it is measured against or the time that is promised, and their tables."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

Unit = Literal["ms", "us", "MiB", "/s", "of 1"]

SCALES: dict[Unit, float] = {"ms": 1e3, "us": 1e6, "MiB": 1 / 1024, "/s": 1.0, "of 1": 1.0}
"""From seconds, KiB, numbers a second and parts of 1 to what is printed."""
MORE_IS_BETTER: tuple[Unit, ...] = ("/s", "of 1")


@dataclass(frozen=True, slots=True)
class Figure:
    """One comparison: samples of `ours` and of its yardstick, in seconds, KiB, numbers a second, or parts of 1.

    `bound` is what the ratio may be at most, or must be at least where more is better; without
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
        return self.bound is not None and self.of_bound() > 1

    def of_bound(self) -> float:
        """How much of the bound is used: 1 where it is just kept, more where it is missed."""
        assert self.bound is not None, "asked of figures with a bound alone"
        return self.bound / self.ratio if self.unit in MORE_IS_BETTER else self.ratio / self.bound

    def row(self) -> list[str]:
        """The cells of the table's row."""
        return [
            self.name,
            written(statistics.median(self.ours), self.unit),
            written(statistics.median(self.theirs), self.unit),
            f"{self.ratio:.2f}",
            f"{_spread(self.ours):.0%} / {_spread(self.theirs):.0%}",
            str(min(len(self.ours), len(self.theirs))),
            "" if self.bound is None else f"{'>=' if self.unit in MORE_IS_BETTER else '<='} {self.bound:g}",
            _verdict(self),
        ]


@dataclass(frozen=True, slots=True)
class Promise:
    """Samples of a wait in seconds, and the `bound` in seconds that is promised; without one, for information.

    Of a hundred samples one may be over the bound, unless it is promised of `every` one.
    """

    HEADER: ClassVar = ["time of", "p50", "p99", "max", "n", "promised", "verdict"]

    name: str
    samples: Sequence[float]
    bound: float | None = None
    unit: Literal["ms", "us"] = "ms"
    every: bool = False

    @property
    def missed(self) -> bool:
        """Whether more than one sample in a hundred is over the bound; of fewer than a hundred, whether any is."""
        return self.bound is not None and self.of_bound() > 1

    def of_bound(self) -> float:
        """How much of the bound is used: 1 where it is just kept, more where it is missed."""
        assert self.bound is not None, "asked of promises with a bound alone"
        return rank(self.samples, 1 if self.every else 0.99) / self.bound

    def row(self) -> list[str]:
        """The cells of the table's row."""
        return [
            self.name,
            *(written(rank(self.samples, part), self.unit) for part in (0.5, 0.99, 1)),
            str(len(self.samples)),
            "" if self.bound is None else f"{'all ' * self.every}<= {written(self.bound, self.unit)}",
            _verdict(self),
        ]


Measured = Figure | Promise


def rank(samples: Sequence[float], part: float) -> float:
    """The smallest sample that so large a part of all does not exceed."""
    return sorted(samples)[math.ceil(part * len(samples)) - 1]


def kept(figure: Measured) -> dict[str, Any]:
    """The figure as JSON values, with every sample to five digits; `read` makes it a figure again."""
    values = asdict(figure)
    for name, value in values.items():
        if isinstance(value, list | tuple):
            values[name] = [float(f"{one:.5g}") for one in value]
    return {"kind": type(figure).__name__, **values}


def read(values: dict[str, Any]) -> Measured:
    """The figure that `kept` wrote."""
    made: dict[str, type[Measured]] = {"Figure": Figure, "Promise": Promise}
    return made[values["kind"]](**{name: value for name, value in values.items() if name != "kind"})


def written(value: float, unit: Unit) -> str:
    """A value in its unit, to four digits."""
    scaled = value * SCALES[unit] if unit != "of 1" else value
    digits = f"{scaled:.4g}"
    if abs(scaled) >= 1_000:  # else 99,330 would be 9.933e+04
        digits = f"{float(digits):,.0f}"
    return digits if unit == "of 1" else f"{digits} {unit}"


def tables(figures: Sequence[Measured], *, markdown: bool = False) -> str:
    """All of them in columns: what is compared, then what is promised; empty where there is nothing."""
    some: list[list[Measured]] = [
        [figure for figure in figures if isinstance(figure, Figure)],
        [figure for figure in figures if isinstance(figure, Promise)],
    ]
    return "\n\n".join(_table(of_a_kind, markdown=markdown) for of_a_kind in some if of_a_kind)


def _table(figures: Sequence[Measured], *, markdown: bool) -> str:
    rows = [figures[0].HEADER, *(figure.row() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    if not markdown:
        return "\n".join(
            _joined(row, widths) for row in [rows[0], ["-" * width for width in widths], *rows[1:]]
        )
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
