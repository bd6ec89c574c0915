"""One demo from beginning to end: a fresh database, the play, the verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anyio

from dibs.database import open_database
from dibs.settings import Settings
from dibs_proof.demo.backlog import fill
from dibs_proof.demo.plan import Plan
from dibs_proof.demo.play import play
from dibs_proof.demo.scene import Screen
from dibs_proof.demo.stage import PROJECT
from dibs_proof.demo.verdict import Verdict, judge

CLOSING = 5.0
"""Seconds that the database gets to close."""
TAIL = 4_000
"""Characters of the servers' log that are shown where a play is broken off."""


def run_demo(plan: Plan, file: Path, log: Path, screen: Screen) -> Verdict:
    """Play the demo on `screen` with the backlog in `file`, and judge it; the servers write to `log`.

    Raises InvalidInput for a file or database that will not do.
    """
    database = open_database(Settings(db=str(plan.db), project=PROJECT))
    try:
        start = fill(database, file)
        screen.say(
            f"You will see {plan.agents} agents, each at a server process of its own, share one backlog of "
            f"{len(start.statuses)} features: none is ever held by two, one agent is killed on the way, "
            "and another finishes its work."
        )
        with log.open("wb") as out:
            seen = anyio.run(play, plan, start, database, out, screen)
        verdict = judge(database, start, seen)
    finally:
        database.close(CLOSING)
    if not seen.broken_off:
        return verdict
    return replace(verdict, log=log.read_text(encoding="utf-8", errors="replace")[-TAIL:])
