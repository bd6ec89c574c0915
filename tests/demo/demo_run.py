"""Helpers for the demo's tests: a small backlog, a screen that records, and a demo run with its clients' records."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from dibs.database import open_database
from dibs.settings import Settings
from dibs_proof.demo.plan import PROJECT, Backlog, Plan, fill
from dibs_proof.demo.run_agents import Observations, run_agents
from dibs_proof.demo.screen import Progress, Tone


@dataclass
class RecordingScreen:
    """A screen that records its lines, and counts how often it was drawn."""

    printed: list[str] = field(default_factory=list)
    drawn: int = 0

    def say(self, line: str, tone: Tone = Tone.PLAIN) -> None:
        """Record the line."""
        self.printed.append(line)

    def draw(self, progress: Progress) -> None:
        """Count the drawings."""
        self.drawn += 1

    def lines(self, word: str) -> list[str]:
        """Return the lines that begin with the given word."""
        return [line for line in self.printed if line.startswith(word)]


@dataclass
class DemoRun:
    """A demo run: its database, its backlog at the start, what the clients saw, and the screen."""

    db: Path
    backlog: Backlog
    seen: Observations
    screen: RecordingScreen


def small_backlog(folder: Path, count: int = 16) -> Path:
    """Write a backlog in which odd features depend on the feature before, one is passing and one is archived."""
    features = [
        {
            "id": f"F{number}",
            "category": "Small",
            "name": f"Feature {number}",
            "description": f"The feature of number {number}.",
            "steps": ["look at it"],
            "status": {3: "passing", 5: "archived"}.get(number, "pending"),
            "dependencies": [f"F{number - 1}"] if number % 2 and number > 1 else [],
        }
        for number in range(1, count + 1)
    ]
    file = folder / "backlog.json"
    file.write_text(json.dumps(features), encoding="utf-8")
    return file


def run(folder: Path, file: Path, *, agents: int = 3, lease: float = 3, patience: float = 60) -> DemoRun:
    """Run a demo with real servers and clients, and close its database."""
    plan = Plan(agents, lease, seed=1, db=folder / "features.db", patience=patience)
    database = open_database(Settings(db=str(plan.db), project=PROJECT))
    screen = RecordingScreen()
    try:
        backlog = fill(database, file)
        with (folder / "servers.log").open("wb") as log:
            seen = anyio.run(run_agents, plan, backlog, database, log, screen)
    finally:
        database.close(5)
    return DemoRun(plan.db, backlog, seen, screen)
