"""The report of a storm: what happened, what was checked, and the verdict."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from dibs_proof.checks.report import print_findings, print_verdict
from dibs_proof.storm.verdict import Verdict


def print_report(console: Console, verdict: Verdict) -> None:
    """Print everything that was found, the verdict last."""
    console.print(_figures(verdict))
    print_findings(console, verdict.findings)
    if verdict.holds:
        words, style = "IT HOLDS. Nothing was held by two, nothing confirmed was lost.", "bold green"
    else:
        broken = sum(not one.holds for one in verdict.findings)
        words = f"BROKEN. {broken} of {len(verdict.findings)} promises did not hold; see above."
        style = "bold red"
    print_verdict(console, words, style)


def _figures(verdict: Verdict) -> Table:
    of = verdict.figures
    table = Table(box=box.SIMPLE_HEAD, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(justify="right", style="bold")
    table.add_column(style="dim")
    ends = ", ".join(f"{count} {how}" for how, count in of["ends"].items() if count)
    refusals = ", ".join(f"{count} {code}" for code, count in of["refusals"].items())
    rows = [
        ("time", f"{of['seconds']:g} s", f"{of['agents']} agents, seed {of['seed']}"),
        ("calls", of["calls"], f"{of['answers_lost']} of them never answered"),
        ("refusals", sum(of["refusals"].values()), refusals),
        ("servers", of["servers"], ends),
        ("kills by SIGKILL", of["kills"], ""),
        ("strangers", of["strangers"], "held the database's locks"),
        (
            "jumps of the wall clock",
            of["clock_jumps"],
            "" if of["clock_jumps"] else "a server's clock counts, or libfaketime is not installed",
        ),
    ]
    for name, value, words in [*rows, *(_judged(of) if "call_p50_ms" in of else [])]:
        table.add_row(name, str(value), words)
    return table


def _judged(of: dict[str, Any]) -> list[tuple[str, Any, str]]:
    """What is only known where the database could be read in the end."""
    return [
        ("a call, median", f"{of['call_p50_ms']} ms", ""),
        ("a call, p99", f"{of['call_p99_ms']} ms", ""),
        (
            "a call, longest",
            f"{of['call_longest_ms']} ms",
            f"{of['call_longest_own_ms']} ms without others' locks and a late machine",
        ),
        (
            "claims of the dead",
            of["claims_of_the_dead"],
            f"{of['taken_back_after_s']} s at most after a kill",
        ),
    ]
