"""Findings, as they are printed at the end of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dibs_proof.invariants import Finding

SHOWN = 5
"""The number of broken cases of one kind that are printed; `--json` has them all."""


def print_figures(console: Console, rows: Iterable[tuple[str, Text | str, str]]) -> None:
    """Print a table of figures: name, value, and what it means."""
    table = Table(box=box.SIMPLE_HEAD, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(justify="right", style="bold")
    table.add_column(style="dim")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def print_findings(console: Console, findings: Sequence[Finding]) -> None:
    """Print one line for each check, and then the first broken cases of each."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for one in findings:
        mark = Text("✗", style="bold red") if one.broken else Text("✓" if one.checked else "-", style="green")
        table.add_row(mark, one.claim, Text(f"{one.checked} {one.unit}", style="dim"))
    console.print(table)
    for one in findings:
        for line in one.broken[:SHOWN]:
            console.print(Text(f"  ✗ {line}", style="red"))
        if len(one.broken) > SHOWN:
            console.print(Text(f"  ✗ and {len(one.broken) - SHOWN} more of this kind", style="red"))


def print_verdict(console: Console, text: str, style: str) -> None:
    """Print the verdict, in a frame."""
    console.print(Panel(Text(text), border_style=style, style=style, box=box.HEAVY))


def broken_verdict(findings: Sequence[Finding]) -> str:
    """Return the text of a verdict on findings of which some do not hold."""
    broken = sum(not one.holds for one in findings)
    return f"BROKEN. {broken} of {len(findings)} promises did not hold; see above."
