"""Separate clocks for a server: a wall clock that can be set, another boot, another time namespace."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from dibs_proof.storm.wall_clock import FAKETIME

BOOT_ID = "/proc/sys/kernel/random/boot_id"

settable = pytest.mark.skipif(not FAKETIME, reason="needs libfaketime (apt install faketime)")


def another_boot(tmp_path: Path) -> list[str]:
    """Return the command prefix for a server with another boot id, as on another machine or after a reboot."""
    file = tmp_path / f"boot-{uuid4()}"
    file.write_text(f"{uuid4()}\n")
    return _tried(["unshare", "-m", "sh", "-c", f'mount --bind {file} {BOOT_ID} && exec "$@"', "sh"])


def another_time(tmp_path: Path) -> list[str]:
    """Return the command prefix for a server in a time namespace whose monotonic clock is a day ahead."""
    return _tried(["unshare", "--time", "--monotonic", "86400", "--fork", "--kill-child"])


def _tried(prefix: list[str]) -> list[str]:
    """Return the prefix, or skip the test if the system does not allow it."""
    if shutil.which(prefix[0]) is None:
        pytest.skip(f"needs {prefix[0]}")
    done = subprocess.run([*prefix, "true"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"needs namespaces of its own: {done.stderr.strip()}")
    return prefix
