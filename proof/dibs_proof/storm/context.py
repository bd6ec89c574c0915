"""What everybody in the storm shares."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from dibs_proof.storm.disturbances import Strangers, WallClock
from dibs_proof.storm.journal_watcher import Witness
from dibs_proof.storm.plan import Plan
from dibs_proof.storm.reaper import Guardian
from dibs_proof.storm.terminations import End


@dataclass(slots=True)
class Sky:
    """The plan and what happens: how servers ended, answers, refusals, and what must not have been.

    What clients were told is in the folder `histories`, what servers and strangers log in the folder `log`.
    `witness` looks at the journal, `gave_up` are clients whose servers said that they could not give claims back,
    and `kept` is what others could not have though its holder was dead. In the
    spans `nobody` there was no server.

    `begun` is set when as many calls have been answered as there are agents, `over` when no agent begins
    anything any more.
    """

    plan: Plan
    log: Path
    clock: WallClock
    strangers: Strangers
    histories: Path
    witness: Witness
    guardian: Guardian
    ends: Counter[End] = field(default_factory=Counter)
    answers: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    gave_up: set[str] = field(default_factory=set)
    kept: list[str] = field(default_factory=list)
    nobody: list[tuple[float, float]] = field(default_factory=list)
    begun: anyio.Event = field(default_factory=anyio.Event)
    over: anyio.Event = field(default_factory=anyio.Event)

    def answered(self) -> None:
        """One more call was answered."""
        self.answers += 1
        if self.answers == self.plan.agents:
            self.begun.set()
