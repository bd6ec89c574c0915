"""The clock that leases are counted in."""

from __future__ import annotations

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
        """Seconds since an origin that is the same for every process of the domain."""
        return time.time() if self.domain == WALL else time.monotonic()


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
