"""The clock that leases are counted in."""

from __future__ import annotations

import math
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

WALL = "wall"
JUMP = 1.0
"""Seconds; less between two looks is a clock that is being set right slowly."""


@dataclass(frozen=True, slots=True)
class LeaseClock:
    """A clock, named by `domain`: readings of one domain compare, those of two do not."""

    domain: str

    def read(self) -> float:
        """Seconds since an origin that is the same for every process of the domain."""
        return time.time() if self.domain == WALL else time.monotonic()


class WallClock:
    """The wall clock, and for how long it has run evenly as far as this process has looked.

    It jumps where somebody sets it, and where the machine slept: the clock that it is held against stands still then.
    """

    def __init__(self) -> None:
        self._ahead = time.time() - time.monotonic()
        self._jumped_at = -math.inf

    def read(self) -> tuple[float, float]:
        """Seconds since the epoch, and seconds since the last jump."""
        now, steady = time.time(), time.monotonic()
        if abs(now - steady - self._ahead) > JUMP:
            self._jumped_at = steady
        self._ahead = now - steady
        return now, steady - self._jumped_at


def lease_clock() -> LeaseClock:
    """The clock of this machine.

    On Linux CLOCK_MONOTONIC, which all processes of a boot share, no change of the wall clock moves,
    and which stands still while the machine sleeps, as the holders of leases do; its domain is the
    boot and time namespace. Elsewhere the wall clock.
    Source: clock_gettime(2), time_namespaces(7); Python's time.monotonic is CLOCK_MONOTONIC on Linux.
    """
    if sys.platform != "linux":
        return LeaseClock(WALL)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    try:
        namespace = os.readlink("/proc/self/ns/time")  # noqa: PTH115 - a magic link, not a path
    except FileNotFoundError:  # kernels before 5.6 have one time for all
        namespace = ""
    return LeaseClock(f"{boot} {namespace}".rstrip())
