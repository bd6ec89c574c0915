"""`dibs demo`: watch real servers drain a backlog while one of them is killed."""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dibs.cli.options import print_json, say_refusals

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from dibs_proof.demo.plan import Plan
    from dibs_proof.demo.screen import Screen
    from dibs_proof.demo.verdict import Figures, Verdict

CLOSING = 5.0
"""Seconds that the database gets to close."""
LOG_END = 4_000
"""The number of characters of the servers' log that are shown if a demo stops early."""


@click.command()
@click.option("--agents", type=click.IntRange(2, 64), default=8, show_default=True, help="How many agents.")
@click.option(
    "--features",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The backlog to drain, in any format that `dibs import` reads.  [default: an example of 64 features]",
)
@click.option(
    "--lease",
    type=click.FloatRange(1, 120),
    default=3,
    show_default=True,
    help="Seconds for which the killed agent's claim stays valid.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Draws which features fail, are skipped or ask.")
@click.option("--db", type=click.Path(path_type=Path), help="Create the database at this path, and keep it.")
@click.option("--keep", is_flag=True, help="Keep the database, and print its path.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON, and everything else to stderr.")
@say_refusals
def demo(
    *, agents: int, file: Path | None, lease: float, seed: int, db: Path | None, keep: bool, as_json: bool
) -> None:
    """Watch agents share a backlog, while one of them is killed.

    Starts real servers on a fresh database, drives each with a real MCP client, kills one, and checks
    the database and its events at the end. The exit status is 1 if a promise was broken.
    """
    from rich.console import Console

    from dibs_proof.demo.plan import Plan, example
    from dibs_proof.demo.screen import screen_for

    console = Console(stderr=as_json, highlight=False)
    folder = Path(tempfile.mkdtemp(prefix="dibs-demo-"))
    plan = Plan.of(agents, lease, seed, db or folder / "features.db")
    try:
        with screen_for(console) as screen:
            verdict = run_demo(plan, file or example(), folder / "servers.log", screen)
    finally:
        if not keep:
            shutil.rmtree(folder)
    if as_json:
        print_json(verdict.as_json())
    else:
        print_report(console, verdict)
    if keep or db is not None:
        console.print(f"The database is kept: {plan.db}", soft_wrap=True)
    sys.exit(0 if verdict.holds else 1)


def run_demo(plan: Plan, file: Path, log: Path, screen: Screen) -> Verdict:
    """Run the demo on `screen` with the backlog in `file`, and judge it; the servers write to `log`.

    Raises InvalidInput for a file or database that cannot be used.
    """
    import anyio

    from dibs.database import open_database
    from dibs.settings import Settings
    from dibs_proof.demo.plan import PROJECT, fill
    from dibs_proof.demo.run_agents import run_agents
    from dibs_proof.demo.verdict import judge

    database = open_database(Settings(db=str(plan.db), project=PROJECT))
    try:
        backlog = fill(database, file)
        screen.say(
            f"You will see {plan.agents} agents, each with its own server process, share one backlog of "
            f"{len(backlog.statuses)} features. No feature is ever held by two agents. One agent is killed, "
            "and another agent finishes its work."
        )
        with log.open("wb") as out:
            seen = anyio.run(run_agents, plan, backlog, database, out, screen)
        verdict = judge(database, backlog, seen)
    finally:
        database.close(CLOSING)
    if not seen.stopped_early:
        return verdict
    return replace(verdict, log=log.read_text(encoding="utf-8", errors="replace")[-LOG_END:])


def print_report(console: Console, verdict: Verdict) -> None:
    """Print the figures, the findings and the verdict."""
    from rich.text import Text

    from dibs_proof.report import print_figures, print_findings, print_verdict

    console.print()
    print_figures(console, _figures(verdict.figures))
    print_findings(console, verdict.findings)
    if verdict.log:
        console.print(Text(f"The servers' log ends with:\n{verdict.log}", style="dim"))
    print_verdict(console, *_verdict(verdict))


def _figures(of: Figures) -> list[tuple[str, Text | str, str]]:
    from rich.text import Text

    refused = ", ".join(f"{count} {code}" for code, count in of.refusals.items())
    outcomes = f"{of.failed} failed, {of.skipped} skipped, {of.asked} asked a person"
    rows: list[tuple[str, object, str]] = [
        ("features", of.features, f"{of.passed} of them built now"),
        ("claims", of.claims, f"{outcomes} first" if of.claims else ""),
        ("double claims", of.double_claims, "given to a second agent while one held it"),
        ("lost acknowledgements", of.lost_acknowledgements, "acknowledged, but without an event"),
        ("take-overs", of.take_overs, "left by a killed agent, finished by another"),
        ("refusals", sum(of.refusals.values()), refused),
        ("claim latency, median", _ms(of.claim_p50_ms), "from a client's call to its token"),
        ("claim latency, p99", _ms(of.claim_p99_ms), ""),
        ("total time", f"{of.total_seconds:.1f} s", f"{of.start_seconds:.1f} s of it to start the servers"),
        ("features per second", of.features_per_second, f"{of.busiest_second} in the busiest second"),
    ]
    wrong = {name for name, value, _ in rows if name in ("double claims", "lost acknowledgements") and value}
    return [(name, Text(str(value), style="bold red" if name in wrong else "bold"), text) for name, value, text in rows]


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"


def _verdict(verdict: Verdict) -> tuple[str, str]:
    from dibs_proof.report import broken_verdict

    figures = verdict.figures
    if verdict.stopped_early:
        return f"STOPPED EARLY after {figures.passed} features: {verdict.stopped_early}", "bold red"
    if not verdict.holds:
        return broken_verdict(verdict.findings), "bold red"
    if not figures.claims:
        words = "NOTHING TO DO. Every feature was done before: no agent claimed one, and no server was killed."
        return words, "yellow"
    words = (
        f"IT HOLDS. {figures.features} of {figures.features} features are done, no feature was held by two agents, "
        "no acknowledged change was lost, and another agent finished the killed agent's work."
    )
    return words, "bold green"
