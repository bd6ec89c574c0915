"""What comes from outside: strangers that hold the database's locks, and wall clocks that jump."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import IO

import anyio

from dibs_proof.storm.plan import Plan

LONGEST_HOLD = 1.5
"""Seconds for which a stranger keeps every writer out."""
LEAVING = 0.1
"""Seconds that it may take to let go."""
HOUR = 3600
FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
"""The library that gives a process a wall clock of its own, where it is installed."""


class Strangers:
    """Programs that know nothing of Dibs, and hold what every writer needs; `held` are the times when one did."""

    def __init__(self, plan: Plan, log: Path) -> None:
        self._plan = plan
        self._log = log / "strangers.log"
        self._chance = plan.chance("strangers")
        self.held: list[tuple[float, float]] = []

    async def come_and_go(self, until: anyio.Event) -> None:
        """Hold the locks now and then, each time from a process of its own, until the storm is over."""
        with self._log.open("wb") as log:
            while not until.is_set():
                await anyio.sleep(self._chance.uniform(0.5, 4))
                await self._come(log)

    async def _come(self, log: IO[bytes]) -> None:
        seconds = self._chance.uniform(0.05, LONGEST_HOLD)
        command = [sys.executable, "-m", "dibs_proof.storm.foreign_locker", self._plan.db, f"{seconds:.2f}"]
        done = await anyio.run_process(command, stderr=log, check=False)
        ended, since = time.monotonic(), done.stdout.split()
        if since:  # else it lost its turn to another, and held nothing
            self.held.append((float(since[0]), float(since[1]) + LEAVING if len(since) > 1 else ended))


class WallClock:
    """The wall clock of the servers that are started with it; theirs is the true one where the library is missing.

    Under that library `time.sleep` fails on some versions of Python, and a call that pauses before it tries again
    fails with it: there is no use for it on a database server, by whose clock leases go.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "wall-clock"
        self._file.write_text("+0\n")
        self.jumps = 0

    @property
    def environment(self) -> dict[str, str]:
        """What makes a server go by this clock."""
        if not FAKETIME:
            return {}
        return {
            "LD_PRELOAD": str(FAKETIME[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # or threads would wait for each other far too long
            "NO_FAKE_STAT": "1",
        }

    def jump(self, seconds: int) -> None:
        """Set it so many seconds off the true time, for all its servers at once."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.replace(self._file)

    async def jump_about(self, plan: Plan, until: anyio.Event) -> None:
        """Set it up to an hour off, every few seconds, for all its servers at once."""
        chance = plan.chance("wall clock")
        while FAKETIME and not plan.has_own_clock and not until.is_set():
            await anyio.sleep(chance.uniform(1, 5))
            self.jump(chance.choice((-HOUR, 0, HOUR)))
            self.jumps += 1
