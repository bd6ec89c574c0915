"""What the demo's tests share: a small backlog, a screen that remembers, and a play with what came of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from dibs.database import open_database
from dibs.settings import Settings
from dibs_proof.demo.backlog import Start, fill
from dibs_proof.demo.plan import Plan
from dibs_proof.demo.play import Performance, play
from dibs_proof.demo.scene import Scene, Tone
from dibs_proof.demo.stage import PROJECT


@dataclass
class Notes:
    """A screen that remembers what was said, and the most that was held at once."""

    said: list[str] = field(default_factory=list)
    drawn: int = 0

    def say(self, line: str, tone: Tone = Tone.PLAIN) -> None:
        """Remember the line."""
        self.said.append(line)

    def draw(self, scene: Scene) -> None:
        """Count the pictures."""
        self.drawn += 1

    def heard(self, word: str) -> list[str]:
        """The lines that begin with a word."""
        return [line for line in self.said if line.startswith(word)]


@dataclass
class Evening:
    """A play that was given: on which database, with what start, and what was seen."""

    db: Path
    start: Start
    seen: Performance
    notes: Notes


def small_backlog(folder: Path, count: int = 16) -> Path:
    """A backlog whose odd features each wait for the one before, with one that is passing and one archived."""
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


def give(folder: Path, file: Path, *, agents: int = 3, lease: float = 3, patience: float = 60) -> Evening:
    """Give a play with real servers and clients, and close its database."""
    plan = Plan(agents, lease, seed=1, db=folder / "features.db", patience=patience)
    database = open_database(Settings(db=str(plan.db), project=PROJECT))
    notes = Notes()
    try:
        start = fill(database, file)
        with (folder / "servers.log").open("wb") as log:
            seen = anyio.run(play, plan, start, database, log, notes)
    finally:
        database.close(5)
    return Evening(plan.db, start, seen, notes)
