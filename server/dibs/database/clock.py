"""The clocks that leases are measured by."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from dibs.platform.clock import awake_seconds, boot_id

WALL = "wall"


@dataclass(frozen=True, slots=True)
class LeaseClock:
    """A clock, named by `domain`: readings can be compared only within one domain."""

    domain: str

    def read(self) -> float:
        """Return seconds since an origin that every process of the domain shares."""
        return time.time() if self.is_wall else awake_seconds()

    @property
    def is_wall(self) -> bool:
        """Whether it is the wall clock, which may jump."""
        return self.domain == WALL


class WallClock:
    """The wall clock, and the time since its last jump that this process has observed.

    It jumps when somebody sets it, and when the machine has slept, since `awake_seconds` stands still during sleep.
    """

    def __init__(self) -> None:
        self._offset = time.time() - awake_seconds()
        self._jumped_at = -math.inf

    def read(self) -> tuple[float, float]:
        """Return seconds since the epoch, and seconds since the last jump."""
        now, awake = time.time(), awake_seconds()
        if abs(now - awake - self._offset) > 1:  # a smaller change is a gradual adjustment of the clock
            self._jumped_at = awake
        self._offset = now - awake
        return now, awake - self._jumped_at


def lease_clock() -> LeaseClock:
    """Return the lease clock of this machine: the time since its boot without sleep, or else the wall clock.

    All processes of a boot share the former. No change of the wall clock affects it. While the machine sleeps, it
    stands still, and so do the holders of leases. Its domain is the boot.
    """
    return LeaseClock(boot_id() or WALL)
