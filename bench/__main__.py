"""`python -m bench`: measure, print the tables, and exit with status 1 if a bound is missed."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from bench.adapters import ADAPTERS
from bench.driver import Failed
from bench.figures import Measured, tables
from bench.report import Report

SIZE = 2_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the requested sections; return the exit status."""
    options = _options(arguments)
    report = Report.read(options.json) if options.json and options.json.exists() else Report()
    measured = [] if options.sections else report.figures()
    with tempfile.TemporaryDirectory(prefix="dibs-bench-", dir=options.folder) as folder:
        for name in options.sections:
            description, measure = {**SECTIONS, **EXTRA}[name]
            print(f"{description} ...", file=sys.stderr)
            (own := Path(folder) / name).mkdir()
            try:
                figures = list(measure(own, options))
            except Failed as failed:
                print(f"{name}: {failed}. The run stops here.", file=sys.stderr)
                return 2
            measured += figures
            report.record(name, figures, options.quick)
            if options.json:
                report.write(options.json)
    print(tables(measured))
    missed = [figure.name for figure in measured if figure.missed]
    machine = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; Python {sys.version.split()[0]}."
    print(f"\n{machine}", f"MISSED: {'; '.join(missed)}." if missed else "No bound is missed.")
    plots: dict[str, Path] = {}
    if options.plots:
        from bench.plots import draw

        plots = draw(report, options.plots)
    if options.markdown:
        report.write_markdown(options.markdown, plots)
    return 1 if missed and not options.no_verdict else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "sections",
        nargs="*",
        default=list(SECTIONS),
        help=f"of {', '.join(SECTIONS)} (default: all of these), {', '.join(EXTRA)}; `none` only reads --json",
    )
    parser.add_argument("--quick", action="store_true", help="fewer runs and smaller backlogs: more noise")
    parser.add_argument("--no-verdict", action="store_true", help="exit with status 0 even where a bound is missed")
    parser.add_argument("--folder", type=Path, help="where to put the databases (default: the temporary folder)")
    parser.add_argument(
        "--json",
        type=Path,
        help="write the samples to this file; a section replaces its earlier samples there",
    )
    parser.add_argument("--markdown", type=Path, help="write the tables of all sections in --json into this page")
    parser.add_argument("--plots", type=Path, help="write plots into this folder (needs the extra `bench`)")
    parser.add_argument(
        "--command", help="the command of the peer's server; {folder} becomes an empty folder for its backlog"
    )
    parser.add_argument("--adapter", help=f"how to call the peer's tools: {', '.join(ADAPTERS)}")
    options = parser.parse_args(arguments)
    if options.sections == ["none"]:
        options.sections = []
    if unknown := set(options.sections) - {*SECTIONS, *EXTRA}:
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    if "peer" in options.sections and (not options.command or options.adapter not in ADAPTERS):
        parser.error(f"peer needs --command, and --adapter with one of {', '.join(ADAPTERS)}")
    return options


def _start(folder: Path, options: argparse.Namespace) -> Iterable[Measured]:
    from bench import server

    return server.measure_starts(folder, _backlog(folder / "start.db"), runs=5 if options.quick else 20)


def _calls(folder: Path, options: argparse.Namespace) -> Iterable[Measured]:
    from bench import server

    made = _backlog(folder / "calls.db"), _backlog(folder / "unsynced.db")
    cycles, paced = (100, 10) if options.quick else (500, 40)
    return server.measure_calls(*made, SIZE, cycles=cycles, paced=paced)


def _race(folder: Path, options: argparse.Namespace) -> Iterable[Measured]:
    from bench import race

    return race.measure(folder, blocks=5 if options.quick else 20, rounds=25 if options.quick else 100)


def _verbs(folder: Path, options: argparse.Namespace) -> Iterable[Measured]:
    from bench import claims

    batches, rounds = (10, 2) if options.quick else (50, 10)
    return claims.measure(folder, batches, rounds)


def _growth(folder: Path, _: argparse.Namespace) -> Iterable[Measured]:
    from bench import growth

    return growth.measure(folder)


def _scale(folder: Path, options: argparse.Namespace) -> Iterable[Measured]:
    from bench import scale

    return scale.measure(folder, scale.QUICK if options.quick else scale.FULL)


def _waits(folder: Path, options: argparse.Namespace) -> Iterable[Measured]:
    from bench import waits

    return waits.measure(folder, waits.QUICK if options.quick else waits.FULL)


def _fairness(folder: Path, options: argparse.Namespace) -> Iterable[Measured]:
    from bench import fairness

    return fairness.measure(folder, fairness.QUICK if options.quick else fairness.FULL)


def _agents(folder: Path, options: argparse.Namespace) -> Iterable[Measured]:
    from bench import agents

    return agents.measure(folder, agents.QUICK if options.quick else agents.FULL)


def _postgres(folder: Path, options: argparse.Namespace) -> Iterable[Measured]:
    from bench import postgres

    rounds, claims = (3, 320) if options.quick else (5, 640)
    return postgres.measure(folder, rounds=rounds, claims=claims)


def _board(folder: Path, options: argparse.Namespace) -> Iterable[Measured]:
    from bench import board

    effort = (8, 2, 4, 5) if options.quick else (20, 10, 15, 40)
    return board.measure(folder, *effort)


def _full_text(folder: Path, options: argparse.Namespace) -> Iterable[Measured]:
    from bench import full_text

    return full_text.measure(folder, runs=20 if options.quick else 60)


def _peer(folder: Path, options: argparse.Namespace) -> Iterable[Measured]:
    from bench import race

    blocks, rounds, size = (3, 10, 250) if options.quick else (5, 50, race.DRAIN_SIZE)
    return race.measure_peer(folder, options.command, options.adapter, blocks=blocks, rounds=rounds, size=size)


Section = tuple[str, Callable[[Path, argparse.Namespace], Iterable[Measured]]]

SECTIONS: dict[str, Section] = {
    "start": ("starting servers", _start),
    "calls": ("calling tools", _calls),
    "race": ("racing for the same features", _race),
    "verbs": ("claiming without MCP", _verbs),
    "growth": ("claiming from a large backlog", _growth),
    "scale": ("claiming, passing and searching in huge backlogs", _scale),
    "waits": ("waiting for locks, leases, commits and exits", _waits),
    "fairness": ("writing all at once", _fairness),
    "agents": ("letting many agents think", _agents),
}
EXTRA: dict[str, Section] = {
    "postgres": ("claiming on PostgreSQL", _postgres),
    "board": ("watching agents on the board", _board),
    "full_text": ("writing with and without a full-text index", _full_text),
    "peer": ("racing and draining beside a peer", _peer),
}
"""Measured only on request. All but `peer`, which needs its server, need the extra `test` and PYTHONPATH=tests."""


def _backlog(path: Path) -> Path:
    """Make a backlog in a child process, so that this process shares no library pages with the servers."""
    from bench import backlogs

    maker = multiprocessing.get_context("spawn").Process(target=backlogs.make, args=(path, SIZE))
    maker.start()
    maker.join()
    if maker.exitcode:
        sys.exit("the backlog could not be made")
    return path


if __name__ == "__main__":
    sys.exit(main())
