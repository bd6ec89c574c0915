"""Check the models of claims and of commits exhaustively, and that each mistake planted into them is found.

`make model` runs it. It needs Spin and gcc.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

CLAIMS, COMMITS = (Path(__file__).parents[2] / "proof" / "model" / name for name in ("claims.pml", "commits.pml"))
DEEPEST = 5_000_000
"""Steps of the longest run, which the search must not exceed."""


@dataclass(frozen=True, slots=True)
class Check:
    """One search of all states: the model's `defines`, and whether it must find an error, because one is planted."""

    title: str
    defines: tuple[str, ...]
    finds_error: bool = False
    searches_cycles: bool = False
    model: Path = CLAIMS


def _planted(bug: str, *defines: str, searches_cycles: bool = False, model: Path = CLAIMS) -> Check:
    title = bug.lower().replace("_", " ")
    return Check(title, (*defines, f"BUG_{bug}"), finds_error=True, searches_cycles=searches_cycles, model=model)


ALIVE = ("LIVENESS", "CLAIMS_ALONE")
CHECKS = [
    Check("two features, every transition", ("FEATURES=2",)),
    Check("the claim of a dead agent ends", ALIVE, searches_cycles=True),
    _planted("TOKEN_IS_NOT_COMPARED"),
    _planted("OVERTAKEN_TOKEN_IS_REGAINED"),
    _planted("LATE_FAILURE_IS_A_REPORT"),
    _planted("LIVE_LEASE_IS_REAPED"),
    _planted("NOBODY_REAPS", *ALIVE, searches_cycles=True),
    Check("what is acknowledged is on disk", (), model=COMMITS),
    _planted("ANSWER_BEFORE_SYNC", model=COMMITS),
    _planted("FAILED_SYNC_IS_REPEATED", model=COMMITS),
    _planted("MARK_IS_NOT_READ", model=COMMITS),
    _planted("TWO_COMMITS_WITHOUT_A_SYNC", model=COMMITS),
    _planted("CHECKPOINT_DOES_NOT_SYNC_THE_LOG", model=COMMITS),
    _planted("LOG_BEGINS_BEFORE_THE_FILE_IS_SYNCED", model=COMMITS),
]


def missing_tools() -> list[str]:
    """Return the programs that are needed and not installed."""
    return [name for name in ("spin", "gcc") if shutil.which(name) is None]


def run(check: Check) -> tuple[int, int]:
    """Search all states. Returns the number of states and of errors. Raises RuntimeError if the search did not end."""
    with tempfile.TemporaryDirectory(prefix="dibs-model-") as folder:
        shutil.copy(check.model, folder)

        def call(*command: str) -> str:
            return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout

        call("spin", "-a", *(f"-D{one}" for one in check.defines), check.model.name)
        kind = ("-DNFAIR=3",) if check.searches_cycles else ("-DSAFETY",)
        call("gcc", "-O1", "-w", "-DCOLLAPSE", "-DVECTORSZ=2048", *kind, "-o", "pan", "pan.c")
        # With weak fairness; agents that have all stopped are no error.
        found = call("./pan", *(("-a", "-f") if check.searches_cycles else ("-E",)), f"-m{DEEPEST}")
    states = re.search(r"(\d+) states, stored", found)
    errors = re.search(r"errors: (\d+)", found)
    if states is None or errors is None or "max search depth too small" in found:
        raise RuntimeError(f"{check.title}: the search did not end:\n{found}")
    return int(states[1]), int(errors[1])


def main() -> int:
    """Run all checks, print a line for each, and return the exit status."""
    if missing := missing_tools():
        print(f"make model: {' and '.join(missing)} cannot be found; apt install spin gcc", file=sys.stderr)
        return 1
    failed = 0
    for check in CHECKS:
        began = time.monotonic()
        states, errors = run(check)
        ok = (errors > 0) == check.finds_error
        failed += not ok
        kind = "planted: " if check.finds_error else ""
        said = "found" if errors else "no error"
        print(
            f"{'ok' if ok else 'WRONG':5}  {kind}{check.title}: {said}, {states:,} states, {time.monotonic() - began:.1f} s"
        )
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
