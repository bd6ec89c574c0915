"""`dibs storm`: see whether Dibs holds on this machine and its file system."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dibs.cli.options import print_json, say_refusals

if TYPE_CHECKING:
    from dibs.storm.sky import Sky


@click.command()
@click.option(
    "--minutes", type=click.FloatRange(0.05, 24 * 60), default=1, show_default=True, help="How long."
)
@click.option("--agents", type=click.IntRange(2, 64), default=8, show_default=True, help="How many agents.")
@click.option(
    "--lease",
    type=click.FloatRange(1, 120),
    default=3,
    show_default=True,
    help="Seconds for which the claims of the dead are respected.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="What is drawn: calls, ends, weather.")
@click.option(
    "--db",
    help="A new file, on the file system to be tried, or a server's URL.  [default: a temporary file]",
)
@click.option("--keep", is_flag=True, help="Keep the history and the servers' log, and say where they are.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@say_refusals
def storm(
    *, minutes: float, agents: int, lease: float, seed: int, db: str | None, keep: bool, as_json: bool
) -> None:
    """Kill, stop and disturb real servers while real clients work, and check everything they were told.

    It uses a project of its own. Servers are killed, told to end, stopped for longer than their leases and
    hung up on; strangers hold the database's locks; wall clocks jump. Then the database is checked, counters are
    recounted, the journal is replayed, and every client's history is checked. The exit status is 1 if a
    promise was broken; then the history and the servers' log are kept.
    """
    from rich.console import Console

    from dibs.storm.plan import Plan
    from dibs.storm.report import print_report
    from dibs.storm.storm import run_storm

    console = Console(stderr=as_json, highlight=False)
    folder = Path(tempfile.mkdtemp(prefix="dibs-storm-"))
    place = db or str(folder / "features.db")
    plan = Plan(place, f"storm {time.strftime('%Y-%m-%d %H:%M:%S')}", minutes * 60, agents, lease, seed)
    keep_it = True
    try:
        with console.status("") as status:

            def watch(sky: Sky, left: float) -> None:
                status.update(
                    f"{left:4.0f} s left: {sky.answers} answers, {sum(sky.ends.values())} servers ended, "
                    f"{len(sky.wrong)} things wrong"
                )

            verdict = run_storm(plan, folder, watch)
        keep_it = keep or not verdict.holds
    finally:
        if not keep_it:
            shutil.rmtree(folder)
    if as_json:
        print_json(verdict.as_json())
    else:
        print_report(console, verdict)
    if keep_it:
        console.print(f"The history and the servers' log are kept: {folder}", soft_wrap=True)
    sys.exit(0 if verdict.holds else 1)
