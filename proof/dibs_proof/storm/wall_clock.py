"""The wall clock of some servers of a storm, which jumps."""

from __future__ import annotations

from pathlib import Path

import anyio

from dibs_proof.storm.plan import Plan

HOUR = 3600
FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
"""The library that gives a process its own wall clock, if it is installed."""


class WallClock:
    """The wall clock of the servers that are started with it; the real wall clock if the library is missing.

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
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # otherwise threads wait for each other far too long
            "NO_FAKE_STAT": "1",
        }

    def jump(self, seconds: int) -> None:
        """Set the clock `seconds` off the real time, for all its servers at once."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.replace(self._file)

    async def run(self, plan: Plan, until: anyio.Event) -> None:
        """Set the clock an hour ahead, an hour back, or right, every few seconds, until the storm is over."""
        chance = plan.chance("wall clock")
        while FAKETIME and not plan.has_own_clock and not until.is_set():
            await anyio.sleep(chance.uniform(1, 5))
            self.jump(chance.choice((-HOUR, 0, HOUR)))
            self.jumps += 1
