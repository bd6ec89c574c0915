"""`dibs storm`: tests whether Dibs keeps its promises on this machine and its file system."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import click

from dibs.cli.options import ended_by_signals, print_json, say_refusals
from dibs_schema.refusals import InvalidInput, Refusal

if TYPE_CHECKING:
    from rich.console import Console

    from dibs.transfer.bulk import BulkDatabase
    from dibs_proof.storm.plan import Plan
    from dibs_proof.storm.state import StormState
    from dibs_proof.storm.verdict import Verdict


@click.command()
@click.option("--minutes", type=click.FloatRange(0.05, 24 * 60), default=1, show_default=True, help="Duration.")
@click.option("--agents", type=click.IntRange(2, 64), default=8, show_default=True, help="How many agents.")
@click.option(
    "--lease",
    type=click.FloatRange(1, 120),
    default=3,
    show_default=True,
    help="Seconds for which a dead agent's claim stays valid.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Draws the calls, the ends and the disturbances.")
@click.option("--db", help="A new file, on the file system to test, or a server's URL.  [default: a temporary file]")
@click.option("--keep", is_flag=True, help="Keep the database, the histories and the logs, and print their paths.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@say_refusals
def storm(*, minutes: float, agents: int, lease: float, seed: int, db: str | None, keep: bool, as_json: bool) -> None:
    """Kill, stop and disturb real servers while real clients work, and check every answer.

    Servers are killed, terminated, stopped for longer than their leases and disconnected; foreign programs lock
    the database; wall clocks jump. Then the database is checked, counters are audited, the events are replayed, and
    every client's history is checked. The storm creates its own project, or file, and removes it at the end. The exit
    status is 1 if a promise was broken; then the database, the histories and the servers' logs are kept.
    """
    from rich.console import Console

    from dibs.settings import Settings, forget_settings
    from dibs_proof.storm.plan import Plan

    forget_settings()
    Settings.read({})  # refuses an unknown DIBS_* variable, which a server would refuse too
    console = Console(stderr=as_json, highlight=False)
    folder = Path(tempfile.mkdtemp(prefix="dibs-storm-"))
    name = f"storm {time.strftime('%Y-%m-%d %H:%M:%S')}"
    plan = Plan(db or str(folder / "features.db"), name, minutes * 60, agents, lease, seed)
    with ended_by_signals():
        verdict = _run(plan, folder, console, keep=keep)
    if as_json:
        print_json(verdict.as_json())
    else:
        print_report(console, verdict)
    sys.exit(0 if verdict.holds else 1)


def _run(plan: Plan, folder: Path, console: Console, *, keep: bool) -> Verdict:
    """Run the storm, and remove what it made, also after a signal. Keep it if a promise was broken."""
    from dibs_proof.storm.storm import run_storm

    made, kept = Event(), False

    def watch(state: StormState, left: float) -> None:
        status.update(
            f"{left:4.0f} s left: {state.answers} answers, {sum(state.ends.values())} servers ended, "
            f"{len(state.wrong)} faults"
        )

    try:
        refuse_missing_folder(plan)
        with console.status("") as status:
            verdict = run_storm(plan, folder, watch, made)
        kept = keep or not verdict.holds
    except Refusal:
        kept = made.is_set()  # the database may show why the storm could not begin or be judged
        raise
    except Exception:
        kept = True  # an error of the storm itself
        raise
    finally:
        if kept:
            console.print(f"Kept: {location(plan)}; the histories and the servers' logs in {folder}", soft_wrap=True)
        else:
            if made.is_set():
                remove(plan)
            shutil.rmtree(folder)
    return verdict


def refuse_missing_folder(plan: Plan) -> None:
    """Raise InvalidInput if the folder of the plan's file does not exist: its name may be mistyped."""
    file = _database(plan).file
    if file is not None and not file.parent.is_dir():
        raise InvalidInput(
            f"There is no folder {file.parent}, and a storm does not create it. Nothing was created.", field="db"
        )


def remove(plan: Plan) -> None:
    """Remove the storm's database file, or the rows of its project."""
    from sqlalchemy import bindparam, delete

    from dibs.transfer.backup import own_files
    from dibs.transfer.project_rows import clear
    from dibs_schema.tables import projects

    database = _database(plan)
    if database.file is not None:
        for file in own_files(database.file):
            file.unlink(missing_ok=True)
        return
    with database.opened(), database.writing(exclusive=True) as tx:
        clear(tx)
        tx.run(delete(projects).where(projects.c.id == bindparam("project")))
        tx.commit(introduced=False)


def location(plan: Plan) -> str:
    """Return the location of the storm's project for a person, without the database's password."""
    return f"the project {plan.project!r} in {_database(plan).label}"


def _database(plan: Plan) -> BulkDatabase:
    from dibs.settings import Settings
    from dibs.transfer.bulk import BulkDatabase

    return BulkDatabase(Settings(db=plan.db, project=plan.project))


def print_report(console: Console, verdict: Verdict) -> None:
    """Print the figures, the findings and the verdict."""
    from dibs_proof.report import broken_verdict, print_figures, print_findings, print_verdict

    print_figures(console, ((name, str(value), text) for name, value, text in _figures(verdict.figures)))
    print_findings(console, verdict.findings)
    if verdict.holds:
        words = "IT HOLDS. No feature had two holders, and no acknowledged change was lost."
        print_verdict(console, words, "bold green")
    else:
        print_verdict(console, broken_verdict(verdict.findings), "bold red")


def _figures(of: dict[str, Any]) -> list[tuple[str, Any, str]]:
    ends = ", ".join(f"{count} {how}" for how, count in of["ends"].items() if count)
    refusals = ", ".join(f"{count} {code}" for code, count in of["refusals"].items())
    no_jumps = "a server's clock measures leases, or libfaketime is not installed"
    rows = [
        ("time", f"{of['seconds']:g} s", f"{of['agents']} agents, seed {of['seed']}"),
        ("calls", of["calls"], f"{of['answers_lost']} of them without an answer"),
        ("refusals", sum(of["refusals"].values()), refusals),
        ("servers", of["servers"], ends),
        ("kills by SIGKILL", of["kills"], ""),
        ("foreign programs", of["strangers"], "held the database's lock"),
        ("jumps of the wall clock", of["clock_jumps"], "" if of["clock_jumps"] else no_jumps),
    ]
    if "call_p50_ms" not in of:  # the database could not be read at the end
        return rows
    own = f"{of['call_longest_own_ms']} ms without foreign locks and a busy machine"
    return [
        *rows,
        ("call latency, median", f"{of['call_p50_ms']} ms", ""),
        ("call latency, p99", f"{of['call_p99_ms']} ms", ""),
        ("call latency, longest", f"{of['call_longest_ms']} ms", own),
        ("rarer moves", sum(of["moves"].values()), ", ".join(f"{count} {move}" for move, count in of["moves"].items())),
        ("claims of dead holders", of["claims_of_the_dead"], f"{of['taken_back_after_s']} s at most after a kill"),
    ]
