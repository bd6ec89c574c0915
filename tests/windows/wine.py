"""Wine: a Windows without Windows, in a prefix of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

PACKAGES = ("wine", "wine64", "gcc-mingw-w64-x86-64-win32")
COMPILER = "x86_64-w64-mingw32-gcc"
LOADERS = ("/usr/lib/wine/wine64", "wine64", "wine")
"""Debian's own loader first: its `wine` asks for 32 bits, which nothing here needs."""
WINDOWS_10 = ("/v", "Version", "/d", "win10", "/f")
"""Wine plays an older Windows otherwise, which Python no longer supports."""


class WineMissing(Exception):  # noqa: N818 - it names what is missing
    """Wine is not here and cannot be installed; the message says why."""


def installed() -> Path:
    """Return Wine's loader, and install Debian's Wine first if need be and if this user may. Raises WineMissing."""
    if (found := _loader()) is not None:
        return found
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise WineMissing(f"Wine is missing, and only root on Debian may install it here: {' '.join(PACKAGES)}")
    for words in (["update"], ["install", "-y", "--no-install-recommends", *PACKAGES]):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "-qq", *words], env=environment, capture_output=True, check=False)
    if (found := _loader()) is None:
        raise WineMissing("Wine is missing, and apt-get cannot install it")
    return found


def _loader() -> Path | None:
    found = next((path for name in LOADERS if (path := shutil.which(name))), None)
    return Path(found) if found and shutil.which(COMPILER) else None


class Wine:
    """Runs programs of Windows. As a context manager it ends whatever still runs in its prefix."""

    def __init__(self, prefix: Path) -> None:
        """Use a folder for the registry and drive C. Raises WineMissing."""
        self._loader = installed()
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))},
            "WINEPREFIX": str(prefix),
            "WINEDEBUG": "-all",
            "PYTHONUNBUFFERED": "1",
            "WINEDLLOVERRIDES": "mscoree,mshtml,winedbg.exe,winemenubuilder.exe=",  # no downloads, dialogs or menus
        }
        self._environment.pop("DISPLAY", None)
        if not (prefix / "system.reg").exists():
            prefix.mkdir(parents=True, exist_ok=True)
            for command in (["wineboot", "--init"], ["reg", "add", r"HKCU\Software\Wine", *WINDOWS_10]):
                if (status := self.run(command)) != 0:
                    raise subprocess.CalledProcessError(status, command)
            for drive in ("c", "z"):  # each question about a drive whose device may not be read costs a line of stderr
                (prefix / "dosdevices" / f"{drive}::").symlink_to("/dev/zero")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the prefix's processes, and no others."""
        server = self._loader.with_name("wineserver")
        command = str(server) if server.exists() else "wineserver"
        subprocess.run([command, "--kill"], env=self._environment, check=False)

    def run(self, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> int:
        """Run a program, show what it prints, and return its exit status.

        Its standard streams are pipes: Python fails on a descriptor of the host that Wine has no object for.
        """
        process = subprocess.Popen(
            [str(self._loader), *map(str, command)],
            env={**self._environment, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        with process.stdout as said:
            for line in said:
                print(line.decode(errors="replace").rstrip(), flush=True)
        return process.wait()


def windows_path(path: Path) -> str:
    """Return a path of the host as programs in Wine see it, on drive Z."""
    return "Z:" + str(path.resolve()).replace("/", "\\")
