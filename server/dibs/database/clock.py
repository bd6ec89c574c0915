"""The clocks that leases are measured by."""

from __future__ import annotations

import math
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

WALL = "wall"


@dataclass(frozen=True, slots=True)
class LeaseClock:
    """A clock, named by `domain`: readings of one domain compare, those of two do not."""

    domain: str

    def read(self) -> float:
        """Return seconds since an origin that every process of the domain shares."""
        return time.time() if self.domain == WALL else time.monotonic()


class WallClock:
    """The wall clock, and the time since its last jump that this process has observed.

    It jumps when somebody sets it and when the machine has slept, since the monotonic clock stands still during sleep.
    """

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()
        self._jumped_at = -math.inf

    def read(self) -> tuple[float, float]:
        """Return seconds since the epoch, and seconds since the last jump."""
        now, monotonic = time.time(), time.monotonic()
        if abs(now - monotonic - self._offset) > 1:  # a smaller change is a gradual adjustment of the clock
            self._jumped_at = monotonic
        self._offset = now - monotonic
        return now, monotonic - self._jumped_at


def lease_clock() -> LeaseClock:
    """Return the lease clock of this machine: CLOCK_MONOTONIC on Linux, elsewhere the wall clock.

    All processes of a boot share CLOCK_MONOTONIC, and no change of the wall clock affects it. It stands still while
    the machine sleeps, as the holders of leases do. Its domain is the boot and the time namespace.
    Source: clock_gettime(2), time_namespaces(7); Python's time.monotonic is CLOCK_MONOTONIC on Linux.
    """
    if sys.platform != "linux":
        return LeaseClock(WALL)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    try:
        namespace = os.readlink("/proc/self/ns/time")  # noqa: PTH115 - a magic link, not a path
    except FileNotFoundError:  # kernels before 5.6 have no time namespaces
        namespace = ""
    return LeaseClock(f"{boot} {namespace}".rstrip())
