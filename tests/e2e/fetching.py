"""Brings the clients of `package.json` from npm into `build/e2e`, once: `python -m e2e.fetching`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
WANTED = Path(__file__).with_name("package.json")
CACHE = ROOT / "build" / "e2e"
BIN = CACHE / "node_modules" / ".bin"
FETCHED = CACHE / "fetched.json"
"""The content of `package.json` at the last fetch."""
WHY_NOT = CACHE / "why-not"
"""The reason why nothing could be fetched, for tests that skip."""

QUIET = ("--no-audit", "--no-fund", "--no-package-lock", "--no-update-notifier", "--loglevel=error")
PROBE = 30.0
INSTALL = 240.0


def is_fetched() -> bool:
    """Return whether the clients are installed in these versions."""
    return FETCHED.exists() and FETCHED.read_bytes() == WANTED.read_bytes()


def why_not() -> str:
    """Return the reason why they are not installed."""
    return WHY_NOT.read_text(encoding="utf-8") if WHY_NOT.exists() else "the clients are fetched by `make e2e`"


def fetch() -> int:
    """Fetch missing packages, and return the exit status: 0 if npm cannot be reached, otherwise npm's."""
    if is_fetched():
        return 0
    CACHE.mkdir(parents=True, exist_ok=True)
    reason = _out_of_reach()
    if reason:
        WHY_NOT.write_text(reason, encoding="utf-8")
        print(f"e2e: {reason}")
        return 0
    shutil.copy(WANTED, CACHE / "package.json")
    print("e2e: fetching the clients from npm, about 1.5 GB on disk", flush=True)
    status = subprocess.run(["npm", "install", *QUIET], check=False, cwd=CACHE, timeout=INSTALL).returncode
    if status == 0:
        shutil.copy(WANTED, FETCHED)
        WHY_NOT.unlink(missing_ok=True)
    return status


def _out_of_reach() -> str:
    if shutil.which("npm") is None:
        return "there is no npm to fetch the clients with"
    try:
        asked = subprocess.run(
            ["npm", "view", *QUIET, "node", "name"],
            check=False,
            capture_output=True,
            text=True,
            timeout=PROBE,
        )
    except subprocess.TimeoutExpired:
        return f"npm's registry did not answer within {PROBE:.0f} s"
    if asked.returncode == 0:
        return ""
    return f"npm's registry is not reachable: {' '.join(asked.stderr.split())[:160]}"


if __name__ == "__main__":
    sys.exit(fetch())
