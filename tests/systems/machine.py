"""Machines that are not here: what their system calls answer, with clocks that the test moves."""

from __future__ import annotations

import ctypes
import struct
from types import SimpleNamespace
from typing import Any

import pytest

from dibs.database import clock as lease_clocks
from dibs.platform import clock, system_calls

BOOTED = 133_500_000_000_000_000
"""Units of 100 ns, as Windows counts them."""


class Machine:
    """A machine with a wall clock, the seconds that it was awake since its boot, and the id of that boot."""

    def __init__(self) -> None:
        self.wall = 1_800_000_000.0
        self.awake = 5_000.0
        self.boot = 1

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += seconds
        self.awake += seconds

    def sleep(self, seconds: float) -> None:
        """Close the lid: only the wall clock goes on."""
        self.wall += seconds

    def set_clock(self, seconds: float) -> None:
        """Let somebody set the wall clock."""
        self.wall += seconds

    def restart(self) -> None:
        """Start the machine again, a minute later."""
        self.boot += 1
        self.wall += 60
        self.awake = 10.0

    def become(self, platform: str, patch: pytest.MonkeyPatch) -> None:
        """Let this process run on the machine, with the system calls of a platform."""
        patch.setattr(clock, "sys", SimpleNamespace(platform=platform))
        patch.setattr(lease_clocks, "time", SimpleNamespace(time=lambda: self.wall))
        # What time.monotonic is on Linux and macOS stands still during sleep.
        awake = clock._windows_awake if platform == "win32" else lambda: self.awake
        patch.setattr(lease_clocks, "awake_seconds", awake)
        patch.setitem(clock.BOOT_IDS, "linux", lambda: f"boot {self.boot}")
        patch.setattr(system_calls, "libc", lambda: SimpleNamespace(sysctlbyname=self._sysctlbyname))
        library = SimpleNamespace(
            NtQuerySystemInformation=self._time_of_day, QueryUnbiasedInterruptTime=self._interrupt_time
        )
        patch.setattr(system_calls, "windows_library", lambda _: library)

    def _sysctlbyname(self, name: bytes, into: Any, size: Any, *_: object) -> int:
        assert (name, size._obj.value) == (b"kern.bootsessionuuid", 37)
        into.value = f"5E6FFEBE-0000-4000-8000-{self.boot:012}".encode()
        return 0

    def _time_of_day(self, what: int, into: Any, size: int, _: object) -> int:
        assert (what, size) == (3, 48)
        moved = int(self.wall * 10_000_000)  # a clock that is set moves both the boot time and its bias
        into.raw = struct.pack("=4q", BOOTED + self.boot + moved, 0, 0, 0) + struct.pack("=2q", moved, 0)
        return 0

    def _interrupt_time(self, into: Any) -> int:
        assert isinstance(into._obj, ctypes.c_ulonglong)
        into._obj.value = int(self.awake * 10_000_000)
        return 1
