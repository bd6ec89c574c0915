"""`dibs storm`: see whether Dibs holds on this machine and its file system."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import click

from dibs.cli.options import print_json, say_refusals
from dibs.cli.signals import ended_by_signals
from dibs_schema.refusals import Refusal

if TYPE_CHECKING:
    from rich.console import Console

    from dibs_proof.storm.context import Sky
    from dibs_proof.storm.plan import Plan
    from dibs_proof.storm.verdict import Verdict


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
@click.option(
    "--keep", is_flag=True, help="Keep the database, the histories and the logs, and say where they are."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@say_refusals
def storm(
    *, minutes: float, agents: int, lease: float, seed: int, db: str | None, keep: bool, as_json: bool
) -> None:
    """Kill, stop and disturb real servers while real clients work, and check everything they were told.

    Servers are killed, told to end, stopped for longer than their leases and hung up on; strangers hold the
    database's locks; wall clocks jump. Then the database is checked, counters are recounted, the journal is
    replayed, and every client's history is checked. The storm has a project, or a file, of its own and removes it at
    the end. The exit status is 1 if a promise was broken; then the database, the histories and the servers' logs are kept.
    """
    from rich.console import Console

    from dibs.settings import Settings, forget_settings
    from dibs_proof.storm.plan import Plan
    from dibs_proof.storm.report import print_report

    forget_settings()
    Settings.read({})  # refuses a variable that no server would take
    console = Console(stderr=as_json, highlight=False)
    folder = Path(tempfile.mkdtemp(prefix="dibs-storm-"))
    name = f"storm {time.strftime('%Y-%m-%d %H:%M:%S')}"
    plan = Plan(db or str(folder / "features.db"), name, minutes * 60, agents, lease, seed)
    with ended_by_signals():
        verdict = _raged(plan, folder, console, keep=keep)
    if as_json:
        print_json(verdict.as_json())
    else:
        print_report(console, verdict)
    sys.exit(0 if verdict.holds else 1)


def _raged(plan: Plan, folder: Path, console: Console, *, keep: bool) -> Verdict:
    """The verdict; what the storm has made is removed, also where a signal ends it, unless it is worth a look."""
    from dibs_proof.storm.cleanup import refuse_place, remove, where
    from dibs_proof.storm.storm import run_storm

    made, kept = Event(), False

    def watch(sky: Sky, left: float) -> None:
        status.update(
            f"{left:4.0f} s left: {sky.answers} answers, {sum(sky.ends.values())} servers ended, "
            f"{len(sky.wrong)} things wrong"
        )

    try:
        refuse_place(plan)
        with console.status("") as status:
            verdict = run_storm(plan, folder, watch, made)
        kept = keep or not verdict.holds
    except Refusal:
        kept = made.is_set()  # what kept the storm from beginning or from being judged may be in there
        raise
    except Exception:
        kept = True  # a mistake of the storm's own
        raise
    finally:
        if kept:
            console.print(
                f"Kept: {where(plan)}; the histories and the servers' logs in {folder}", soft_wrap=True
            )
        else:
            if made.is_set():
                remove(plan)
            shutil.rmtree(folder)
    return verdict
