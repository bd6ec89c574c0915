"""Kills a write at one point after another, and checks what is left."""

from __future__ import annotations

import functools
import os
import random
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

from faults.dying import Job, Report, Zygote
from faults.moves import ALL, Move
from faults.points import PIPELINE
from faults.staging import Staged
from faults.states import Change, changed, state_of
from races.backlog import LONG

SEED = os.environ.get("DIBS_TEST_SEED", "0")
BESIDE = 1
"""The number of random points of each write in a short run, in addition to the points around each COMMIT."""
WRITES = ("BEGIN IMMEDIATE", "BEGIN ISOLATION LEVEL READ COMMITTED")

Window = tuple[int, int]
"""The points right before and right after a commit; between them its outcome is unknown."""
Copies = Callable[[str], AbstractContextManager[str]]
"""Makes a copy of a database that no process has open."""


class Crash:
    """One write, killed at one point after another."""

    def __init__(self, zygote: Zygote, copies: Copies, name: str, db: str, staged: Staged) -> None:
        self._zygote, self._copies, self._name, self._db, self._staged = zygote, copies, name, db, staged
        self._before = _untouched(db)
        self.whole, self.after = self._once(None)
        said = [answer.get("result", {}).get("isError", False) for answer in self.whole.answers]
        assert len(said) == max(1, len(ALL[name].tools)), self.whole.said
        assert not any(said), self.whole.answers
        self.windows = windows(self.whole.points)

    def chosen(self) -> list[int]:
        """The points to test: the points around commits, and in a long run all others from BEGIN on."""
        points = self.whole.points
        first = next(place for place, (_, what) in enumerate(points) if what.startswith(WRITES))
        rest = range(first, len(points))
        drawn = rest if LONG else random.Random(f"{SEED} {self._name}").sample(rest, min(BESIDE, len(rest)))
        around = {place for one in self.windows if self._may_change(one) for place in one}
        return sorted({*drawn, *around})

    def _may_change(self, window: Window) -> bool:
        return self.whole.points[window[0]][1].startswith(("COMMIT", "WITH"))

    def try_all(self, move: Move, points: list[int]) -> None:
        """Kill at each point, and check that each change appears at its COMMIT, in order, and is never undone."""
        seen: list[Change] = [{}]
        last = 0
        with ExitStack() as used:
            db = used.enter_context(self._copies(self._db))
            for point in points:
                if len(seen) > 1:  # otherwise the database is unchanged
                    used.close()
                    db = used.enter_context(self._copies(self._db))
                report, now = self._die(db, point)
                if now != seen[-1]:
                    assert now not in seen, f"undone at {self.whole.points[point]}: {now}"
                    assert any(first <= last and point <= end for first, end in self.windows), (
                        f"not by a COMMIT, between {self.whole.points[last]} and {self.whole.points[point]}: {now}"
                    )
                    seen.append(now)
                assert len(seen) - 1 >= move.told(len(report.answers)), "it was told, and is not there"
                last = point
        assert seen[-1] == self.after
        assert len(seen) == move.commits + 1, f"it is not as many commits: {seen}"

    def _die(self, db: str, point: int) -> tuple[Report, Change]:
        report = self._zygote.run(Job(self._name, db, self._staged, point))
        assert report.signal == signal.SIGKILL, report.said
        assert report.points == self.whole.points[: point + 1], "it went another way"
        return report, changed(self._before, state_of(db))

    def _once(self, point: int | None) -> tuple[Report, Change]:
        with self._copies(self._db) as db:
            report = self._zygote.run(Job(self._name, db, self._staged, point))
            return report, changed(self._before, state_of(db))


_untouched = functools.cache(state_of)  # the staged database is copied, and never written again


def windows(points: list[tuple[str, str]]) -> list[Window]:
    """Return the points around each COMMIT and around each statement outside a transaction."""
    found: list[Window] = []
    inside = False
    for place, (when, what) in enumerate(points):
        if when == "after" or what == PIPELINE:
            continue
        if what.startswith("BEGIN"):
            inside = True
        elif what == "COMMIT" or not inside:
            queued = points[place + 2 : place + 3] == [("before", PIPELINE)]
            found.append((place, min(place + (3 if queued else 1), len(points) - 1)))
        inside = inside and what not in ("COMMIT", "ROLLBACK")
    return found
