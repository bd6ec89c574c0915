"""The state of a running storm."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from dibs_proof.history.dependencies import Span
from dibs_proof.storm.event_watcher import EventWatcher
from dibs_proof.storm.foreign_locks import ForeignLocks
from dibs_proof.storm.plan import Plan
from dibs_proof.storm.process_cleanup import ProcessCleanup
from dibs_proof.storm.wall_clock import WallClock


@dataclass(slots=True)
class StormState:
    """The plan, and the events of the run: the ends of servers, answers, refusals, and faults (`wrong`).

    Clients record their calls in the folder `histories`; servers and foreign programs log to the folder `log`.
    `not_released` are clients whose servers logged that they could not release claims; `not_taken_back` has a line for
    each claim of a dead holder that was not reaped. In the spans `without_servers` no server ran.

    `begun` is set when as many calls have been answered as there are agents, and `over` when agents must stop.
    """

    plan: Plan
    log: Path
    histories: Path
    watcher: EventWatcher
    clock: WallClock
    foreign_locks: ForeignLocks
    cleanup: ProcessCleanup
    ends: Counter[str] = field(default_factory=Counter)
    answers: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    not_released: set[str] = field(default_factory=set)
    not_taken_back: list[str] = field(default_factory=list)
    without_servers: list[Span] = field(default_factory=list)
    begun: anyio.Event = field(default_factory=anyio.Event)
    over: anyio.Event = field(default_factory=anyio.Event)

    def count_answer(self) -> None:
        """Count one answered call."""
        self.answers += 1
        if self.answers == self.plan.agents:
            self.begun.set()
