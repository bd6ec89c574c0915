"""Plots of a report as SVG. They show the figures of the tables; nothing is measured here."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure as Plot

from bench import fairness, race, scale
from bench.figures import Figure, Measured, Promise
from bench.report import Report, Section

OURS, THEIRS, BAD = "#1b6ca8", "#9aa5b1", "#c0392b"
SHOWN_BOUNDS = ("calls", "race", "verbs", "growth", "scale", "fairness", "agents", "peer")
"""The sections in the plot of all bounds."""
LEAST_USED = 0.02
"""The left end of the plot of all bounds; smaller values are drawn there."""

mpl.rcParams.update(
    {
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.grid": True,
        "grid.color": "#e4e7eb",
        "svg.fonttype": "none",
        "svg.hashsalt": "dibs",
    }
)


def draw(report: Report, folder: Path) -> dict[str, Path]:
    """Draw every plot whose sections were measured; return the file of each by its title."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn: dict[str, Path] = {}
    for name, (title, needed, drawing) in PLOTS.items():
        if all(section in report.sections for section in needed):
            plot, height = drawing(report)
            shown = SHOWN_BOUNDS if name == "bounds" else needed
            drawn[title] = folder / f"bench-{name}.svg"
            _write(plot, drawn[title], [report.sections[one] for one in shown if one in report.sections], height)
    return drawn


def _write(plot: Plot, path: Path, sections: list[Section], height: float) -> None:
    measured = sorted({section.measured for section in sections})
    when = measured[0] if len(measured) == 1 else f"{measured[0]} to {measured[-1]}"
    quick = ", the quick form" if any(section.quick for section in sections) else ""
    caption = f"{when}{quick}. {sections[0].machine}. {sections[0].versions}."
    plot.text(0.01, 0.08 / height, textwrap.fill(caption, 120), fontsize=7, color="#52606d", va="bottom")
    plot.savefig(path, metadata={"Date": None})


def _canvas(height: float, columns: int = 1) -> tuple[Plot, Any]:
    plot = Plot(figsize=(8, height), layout="constrained")
    layout: Any = plot.get_layout_engine()
    layout.set(rect=(0, 0.45 / height, 1, 1 - 0.45 / height))
    return plot, plot.subplots(1, columns)


def _bounds(report: Report) -> tuple[Plot, float]:
    """Draw which part of each bound is used."""
    bounded = [
        figure
        for name in SHOWN_BOUNDS
        for figure in (report.sections[name].figures if name in report.sections else ())
        if figure.bound is not None
    ][::-1]
    height = 1.3 + 0.27 * len(bounded)
    plot, axes = _canvas(height)
    used = [max(LEAST_USED, figure.of_bound()) for figure in bounded]
    places = range(len(bounded))
    axes.hlines(places, [LEAST_USED] * len(used), used, color=[BAD if one > 1 else OURS for one in used], lw=2)
    axes.plot(used, places, "o", color=OURS, ms=5)
    for place, one in enumerate(used):
        if one > 1:
            axes.plot([one], [place], "o", color=BAD, ms=5)
    axes.axvline(1, color="#323f4b", lw=1)
    axes.set_yticks(places, [textwrap.shorten(figure.name, 68, placeholder=" …") for figure in bounded], fontsize=8)
    axes.set_xscale("log")
    axes.set_xlim(LEAST_USED, max(3.0, *used) * 1.15)
    ticks = [one for one in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10) if one <= max(3.0, *used)]
    axes.set_xticks(ticks, [f"{one:g}" for one in ticks])
    axes.minorticks_off()
    axes.set_xlabel("part of the bound that is used (over 1: missed)")
    axes.set_title("Every bound, and how near to it Dibs comes", loc="left")
    return plot, height


def _sizes(report: Report) -> tuple[Plot, float]:
    """A claim in backlogs of growing size."""
    found = _named(report, "scale")
    points: list[tuple[int, float, float]] = []
    for size in scale.FULL.sizes:
        figure = found.get(scale.name_of(size))
        if isinstance(figure, Figure):
            points.append((size, statistics.median(figure.ours), statistics.median(figure.theirs)))
    plot, axes = _canvas(3.4)
    sizes = [size for size, _, _ in points]
    axes.plot(sizes, [ours * 1e6 for _, ours, _ in points], "o-", color=OURS, label="so many features, 99 % passing")
    axes.plot(
        sizes,
        [theirs * 1e6 for _, _, theirs in points],
        "s--",
        color=THEIRS,
        label="1,000 features, in the same run",
    )
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.set_ylim(0, max(max(ours, theirs) for _, ours, theirs in points) * 1e6 * 1.35)
    axes.set_xlabel("features in the backlog")
    axes.set_ylabel("median claim (µs), not synced")
    axes.set_title("A claim takes the same time in a backlog of any size", loc="left")
    axes.legend(frameon=False, loc="upper left")
    return plot, 3.4


def _waits(report: Report) -> tuple[Plot, float]:
    """Latencies of many writers, and of claims and no-op calls."""
    height = 3.6
    plot, (left, right) = _canvas(height, 2)
    crowd = _starting(report, "fairness", f"a write among {fairness.WRITERS}")
    _distribution(left, crowd, "a claim or a pass", OURS)
    left.set_title(f"{fairness.WRITERS} processes that write without a pause", loc="left", fontsize=9)
    many = _starting(report, "agents", "a claim among")
    _distribution(right, _starting(report, "agents", "a no-op call among"), "no-op tool, stock server", THEIRS)
    _distribution(right, many, "claim", OURS)
    who = many.name.removeprefix("a claim among ")
    right.set_title(textwrap.shorten(who, 48), loc="left", fontsize=9)
    for axes in (left, right):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("latency (ms)")
        axes.set_ylabel("calls answered by then (%)")
        axes.set_ylim(0, 101)
        axes.legend(frameon=False, loc="upper left", fontsize=8)
    return plot, height


def _distribution(axes: Any, promise: Promise, label: str, colour: str) -> None:
    times = sorted(promise.samples)
    step = max(1, len(times) // 500)
    shown = [*range(0, len(times), step), len(times) - 1]
    axes.plot(
        [times[place] * 1e3 for place in shown],
        [(place + 1) / len(times) * 100 for place in shown],
        color=colour,
        label=label,
    )


def _peer(report: Report) -> tuple[Plot, float]:
    """Dibs, a stock no-op server and a peer: calls per second in the race, features per second in the drain."""
    height = 3.0
    plot, (left, right) = _canvas(height, 2)
    figures = [figure for figure in report.sections["peer"].figures if isinstance(figure, Figure)]
    ours, _, theirs, _, drain = figures
    name = theirs.name.split(":")[0]
    _bars(left, {"Dibs": ours.ours, "no-op tool": ours.theirs, name: theirs.ours}, "calls per second")
    left.set_title(f"{race.RACERS} servers claim the same feature", loc="left", fontsize=9)
    _bars(right, {"Dibs": drain.ours, name: drain.theirs}, "features per second")
    right.set_title("claim and pass features with dependencies", loc="left", fontsize=9)
    return plot, height


def _bars(axes: Any, rates: dict[str, Any], unit: str) -> None:
    medians = [statistics.median(rate) for rate in rates.values()]
    colours = [OURS if name == "Dibs" else THEIRS for name in rates]
    axes.bar_label(axes.bar(list(rates), medians, color=colours, width=0.6), fmt="{:,.0f}", padding=2)
    axes.set_ylabel(unit)
    axes.set_ylim(0, max(medians) * 1.15)
    axes.grid(visible=False, axis="x")


def _named(report: Report, section: str) -> dict[str, Measured]:
    return {figure.name: figure for figure in report.sections[section].figures}


def _starting(report: Report, section: str, words: str) -> Promise:
    return next(
        figure
        for figure in report.sections[section].figures
        if isinstance(figure, Promise) and figure.name.startswith(words)
    )


PLOTS: dict[str, tuple[str, tuple[str, ...], Callable[[Report], tuple[Plot, float]]]] = {
    "bounds": (
        "Every bound, and the part of it that is used",
        ("race", "scale", "fairness", "agents"),
        _bounds,
    ),
    "peer": ("Dibs beside another server and a no-op tool", ("peer",), _peer),
    "sizes": ("A claim in backlogs of growing size", ("scale",), _sizes),
    "waits": ("Latencies of 32 writers, and of many agents", ("fairness", "agents"), _waits),
}
"""The title of each plot, and the sections that it needs."""
