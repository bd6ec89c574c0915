"""`dibs demo`: watch real servers drain a backlog, one of them killed on the way."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import click

from dibs.cli.options import print_json, say_refusals


@click.command()
@click.option("--agents", type=click.IntRange(2, 64), default=8, show_default=True, help="How many agents.")
@click.option(
    "--features",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The backlog to drain: whatever `dibs import` reads.  [default: an example of 64 features]",
)
@click.option(
    "--lease",
    type=click.FloatRange(1, 120),
    default=3,
    show_default=True,
    help="Seconds for which the killed agent's claim is respected.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Who fails, skips and asks, and when.")
@click.option("--db", type=click.Path(path_type=Path), help="Where to make the database, and keep it.")
@click.option("--keep", is_flag=True, help="Keep the database, and say where it is.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON, and the story to stderr.")
@say_refusals
def demo(
    *, agents: int, file: Path | None, lease: float, seed: int, db: Path | None, keep: bool, as_json: bool
) -> None:
    """Watch agents share a backlog, while one of them is killed.

    Starts real servers on a fresh database, drives each with a real MCP client, kills one, and checks
    the database and its journal at the end. The exit status is 1 if a promise was broken.
    """
    from rich.console import Console

    from dibs_proof.demo.backlog import example
    from dibs_proof.demo.plan import Plan
    from dibs_proof.demo.report import print_report
    from dibs_proof.demo.run import run_demo
    from dibs_proof.demo.screens import screen_for

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
