"""The disturbances of a storm: foreign programs that hold the database's lock, and wall clocks that jump."""

from __future__ import annotations

import time
from pathlib import Path
from typing import IO

import anyio

from dibs_proof.history.dependencies import Span
from dibs_proof.storm.child_processes import lock_command
from dibs_proof.storm.plan import Plan

LONGEST_HOLD = 1.5
"""The longest time in seconds for which a foreign program blocks every writer."""
LEAVING = 0.1
"""Seconds that the program may need to release the lock."""
HOUR = 3600
FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
"""The library that gives a process its own wall clock, if it is installed."""


class ForeignLocks:
    """Programs without Dibs that hold the lock that every writer needs; `held` are the spans."""

    def __init__(self, plan: Plan, log: Path) -> None:
        self._plan = plan
        self._log = log / "foreign-locks.log"
        self._chance = plan.chance("strangers")
        self.held: list[Span] = []

    async def run(self, until: anyio.Event) -> None:
        """Hold the lock at random times, each time in a new process, until the storm is over."""
        with self._log.open("wb") as log:
            while not until.is_set():
                await anyio.sleep(self._chance.uniform(0.5, 4))
                await self._hold(log)

    async def _hold(self, log: IO[bytes]) -> None:
        seconds = self._chance.uniform(0.05, LONGEST_HOLD)
        done = await anyio.run_process(lock_command(self._plan.db, seconds), stderr=log, check=False)
        ended, times = time.monotonic(), done.stdout.split()
        if times:  # else another program had the lock
            self.held.append((float(times[0]), float(times[1]) + LEAVING if len(times) > 1 else ended))


class WallClock:
    """The wall clock of the servers that are started with it; the real one if the library is missing.

    Under that library `time.sleep` fails on some versions of Python, and so does a call that pauses before a retry. It
    has no effect on PostgreSQL, where the server's clock measures leases.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "wall-clock"
        self._file.write_text("+0\n")
        self.jumps = 0

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that make a server use this clock."""
        if not FAKETIME:
            return {}
        return {
            "LD_PRELOAD": str(FAKETIME[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # or threads simulate wait for each other far too long
            "NO_FAKE_STAT": "1",
        }

    def jump(self, seconds: int) -> None:
        """Set the clock `seconds` off the real time, for all its servers at once."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.replace(self._file)

    async def run(self, plan: Plan, until: anyio.Event) -> None:
        """Set the clock an hour off, or right, every few seconds, until the storm is over."""
        chance = plan.chance("wall clock")
        while FAKETIME and not plan.has_own_clock and not until.is_set():
            await anyio.sleep(chance.uniform(1, 5))
            self.jump(chance.choice((-HOUR, 0, HOUR)))
            self.jumps += 1
