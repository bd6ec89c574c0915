"""An agent that drains a backlog, and never builds what `STUCK` names: python -m transfer.formats.draining DB AGENT."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from dibs.client import NothingToClaim, SyncBacklog

STUCK = "cannot be built"
"""A name that contains this is of a feature that every agent fails."""
AGENTS = 8


def build(name: str) -> str:
    """Return the evidence. Raises RuntimeError for a feature that cannot be built."""
    if STUCK in name:
        raise RuntimeError(STUCK)
    return "seen"


def drain(db: str, agent: str) -> None:
    """Claim and pass, or fail, until nothing is ready. No feature waits for another agent's."""
    with SyncBacklog.open(db=db, project="default", agent=agent) as backlog:
        while True:
            try:
                with backlog.claim() as feature:
                    feature.evidence = build(feature.name)
            except NothingToClaim:
                return
            except RuntimeError:
                continue


def drained(db: Path) -> None:
    """Let eight processes drain a backlog."""
    command = [sys.executable, "-m", "transfer.formats.draining", str(db)]
    tests = Path(__file__).parents[2]
    agents = [subprocess.Popen([*command, f"agent {number}"], cwd=tests) for number in range(AGENTS)]
    assert [one.wait(300) for one in agents] == [0] * AGENTS


if __name__ == "__main__":
    drain(*sys.argv[1:])
