"""What only POSIX has: the tests that are left out on Windows, each with its reason."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest

POSIX_MODULES = {
    "cli/test_import_without_file.py": "it types at a terminal (pty)",
    "cli/test_top.py": "the screen of `dibs top` is a POSIX terminal's",
    "demo/test_command.py": "it draws at a terminal (pty), and finds processes in /proc",
    "cli/test_output.py": "it becomes another user by a fork",
    "faults": "its faults are signals, forks, mounts, preloaded libraries and faketime",
    "systems/test_file_systems.py": "it lets other systems answer",
    "systems/test_sleep.py": "it lets other systems answer",
    "systems/test_macos_files.py": "it lets fcntl answer as macOS does",
    "transfer/copy/test_command.py": "it types at a terminal (pty)",
    "client/test_signals.py": "a process of Windows cannot send another one a signal",
    "races/test_cold_start.py": "its processes are forks that wait for each other",
    "races/test_foreign_locks.py": "it reads /proc/locks",
    "races/test_reconnects.py": "its servers end by signals",
    "storm/test_command.py": "its storms end by signals",
}
"""Modules, or folders, that cannot be imported or prove nothing there."""


def skip_what_needs_posix(items: Sequence[pytest.Item]) -> None:
    """Skip, on Windows, the tests that are marked `posix`."""
    for item in items:
        if (mark := item.get_closest_marker("posix")) is not None:
            (reason,) = mark.args
            assert reason, f"{item.nodeid}: what has Windows not?"
            if sys.platform == "win32":
                item.add_marker(pytest.mark.skip(reason=reason))
