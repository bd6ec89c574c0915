"""The boot of this machine, and the time since then that it was awake."""

from __future__ import annotations

import os
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

from dibs.platform import system_calls


def _linux_boot() -> str | None:
    """Return the boot id and the time namespace, whose clock may have a different origin.

    Source: proc_sys_kernel(5), time_namespaces(7).
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except FileNotFoundError:  # /proc is not mounted
        return None
    try:
        namespace = os.readlink("/proc/self/ns/time")  # noqa: PTH115 - a magic link, not a path
    except FileNotFoundError:  # kernels before 5.6 have no time namespaces
        namespace = ""
    return f"{boot} {namespace}".rstrip()


_UUID_BYTES = 37  # with the final zero


def _macos_boot() -> str | None:
    """Return kern.bootsessionuuid. Source: sysctlbyname(3); the kernel draws it once for each boot."""
    import ctypes

    found, size = ctypes.create_string_buffer(_UUID_BYTES), ctypes.c_size_t(_UUID_BYTES)
    if system_calls.libc().sysctlbyname(b"kern.bootsessionuuid", found, ctypes.byref(size), None, 0) != 0:
        return None
    return found.value.decode("ascii") or None


_TIME_OF_DAY = 3  # SystemTimeOfDayInformation
_TIME_OF_DAY_BYTES, _BOOT_TIME, _BOOT_TIME_BIAS = 48, 0, 32


def _windows_boot() -> str | None:
    """Return the time at which the kernel started, as the wall clock then was, in units of 100 ns.

    When the wall clock is set, the kernel moves both its boot time and that time's bias by the same amount. Source:
    SYSTEM_TIMEOFDAY_INFORMATION, in ntexapi.h of System Informer.
    """
    import ctypes

    found = ctypes.create_string_buffer(_TIME_OF_DAY_BYTES)
    query = system_calls.windows_library("ntdll").NtQuerySystemInformation
    if query(_TIME_OF_DAY, found, _TIME_OF_DAY_BYTES, None) != 0:
        return None
    (booted,), (bias,) = (struct.unpack_from("=q", found, offset) for offset in (_BOOT_TIME, _BOOT_TIME_BIAS))
    return f"{booted - bias:x}"


def _windows_awake() -> float:
    """Read the interrupt time without the bias that sleep adds. Source: QueryUnbiasedInterruptTime, realtimeapiset.h."""
    import ctypes

    ticks = ctypes.c_ulonglong()
    if not system_calls.windows_library("kernel32").QueryUnbiasedInterruptTime(ctypes.byref(ticks)):
        raise system_calls.windows_error()
    return ticks.value / 10_000_000


BOOT_IDS: dict[str, Callable[[], str | None]] = {"linux": _linux_boot, "darwin": _macos_boot, "win32": _windows_boot}


def boot_id() -> str | None:
    """Return an id of this boot of this machine, equal for all processes that share `awake_seconds`, or None."""
    find = BOOT_IDS.get(sys.platform)
    return find() if find is not None else None


awake_seconds: Callable[[], float] = _windows_awake if sys.platform == "win32" else time.monotonic
"""Return seconds since an origin that all processes of this boot share. It stands still while the machine sleeps.

time.monotonic is CLOCK_MONOTONIC on Linux and mach_absolute_time on macOS, which both do; on Windows it counts sleep.
Source: clock_gettime(2); "Include Sleep" in PEP 418; Apple's documentation of mach_absolute_time.
"""
