"""`python -m bench`: measure, print the tables, and end with status 1 where a bound is missed."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure, Promise, table

SIZE = 2_000
SECTIONS = ("start", "calls", "verbs", "growth", "waits")
EXTRA = ("postgres",)
"""Measured only where it is asked for: it needs the packages of the extra `test`, and PYTHONPATH=tests."""


def main() -> int:
    """Run the sections that were asked for; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "sections",
        nargs="*",
        default=SECTIONS,
        help=f"of {', '.join(SECTIONS)} (default: all of these), {EXTRA[0]}",
    )
    parser.add_argument(
        "--quick", action="store_true", help="fewer runs: about a fifth of the time, more noise"
    )
    parser.add_argument(
        "--no-verdict", action="store_true", help="end with status 0 even where a bound is missed"
    )
    parser.add_argument(
        "--folder", type=Path, help="where to put the databases (default: the temporary folder)"
    )
    options = parser.parse_args()
    if unknown := set(options.sections) - {*SECTIONS, *EXTRA}:
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="dibs-bench-", dir=options.folder) as folder:
        figures = list(_measured(options.sections, Path(folder), quick=options.quick))
    ratios = [figure for figure in figures if isinstance(figure, Figure)]
    promises = [figure for figure in figures if isinstance(figure, Promise)]
    print("\n\n".join(table(some) for some in (ratios, promises) if some))
    missed = [figure.name for figure in figures if figure.missed]
    print(
        f"\n{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; Python {sys.version.split()[0]}.", end=" "
    )
    print(f"MISSED: {'; '.join(missed)}." if missed else "Every bound is kept.")
    return 1 if missed and not options.no_verdict else 0


def _measured(sections: list[str], folder: Path, *, quick: bool) -> Iterator[Figure | Promise]:
    if "start" in sections:
        from bench import starting

        print("starting servers ...", file=sys.stderr)
        yield from starting.measure(folder, _backlog(folder / "start.db"), runs=5 if quick else 20)
    if "calls" in sections:
        from bench import calls

        print("calling tools ...", file=sys.stderr)
        backlogs = _backlog(folder / "calls.db"), _backlog(folder / "unsynced.db")
        yield from calls.measure(*backlogs, SIZE, cycles=100 if quick else 500, paced=10 if quick else 40)
    if "verbs" in sections:
        from bench import verbs

        print("claiming without MCP ...", file=sys.stderr)
        yield from verbs.measure(folder, batches=10 if quick else 50)
    if "growth" in sections:
        from bench import growth

        print("claiming from a large backlog ...", file=sys.stderr)
        yield from growth.measure(folder)
    if "waits" in sections:
        from bench import waits

        print("waiting for locks, leases, commits and exits ...", file=sys.stderr)
        yield from waits.measure(folder, waits.QUICK if quick else waits.FULL)
    if "postgres" in sections:
        from bench import server

        print("claiming on PostgreSQL ...", file=sys.stderr)
        yield from server.measure(folder, rounds=3 if quick else 5, claims=320 if quick else 640)


def _backlog(path: Path) -> Path:
    """A backlog made by a child process, so that this one shares no library pages with the servers."""
    from bench import backlog

    maker = multiprocessing.get_context("spawn").Process(target=backlog.make, args=(path, SIZE))
    maker.start()
    maker.join()
    if maker.exitcode:
        sys.exit("the backlog could not be made")
    return path


if __name__ == "__main__":
    sys.exit(main())
