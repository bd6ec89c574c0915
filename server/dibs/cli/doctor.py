"""`dibs doctor`: whether this backlog is well."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from dibs.cli.options import backlog, looks_at_backlog, print_json
from dibs_schema.refusals import DatabaseDamaged

if TYPE_CHECKING:
    from dibs.database import Database
    from dibs.database.health import Finding
    from dibs.verbs.audit import Audit

STATUS = {"ok": 0, "warning": 1, "error": 2}


@click.command()
@looks_at_backlog
def doctor(*, as_json: bool, **flags: Any) -> None:
    """Check integrity, counters against a recount, states against the journal, leases, library, file system.

    Writes nothing. The exit status is 0 where all is well, 1 with warnings, 2 with errors.
    """
    with backlog(flags) as database:
        findings = _examine(database)
    worst = max(STATUS[one.level] for one in findings)
    if as_json:
        print_json({"status": worst, "findings": [asdict(one) for one in findings]})
    else:
        _print(findings)
    sys.exit(worst)


def _examine(database: Database) -> list[Finding]:
    from dibs.database.health import Finding
    from dibs.verbs.audit import audit

    try:
        findings = database.examine()
        return findings + _recount(database.read_now(audit))
    except DatabaseDamaged as refusal:
        return [Finding("integrity", "error", refusal.message)]


def _recount(found: Audit) -> list[Finding]:
    return [
        _compared("counters", "unmet dependencies", found.unmet, found.features),
        _compared("heights", "heights", found.heights, found.features),
        _compared("journal", "states", found.strays, found.features),
        _leases(found),
        *_peers(found),
    ]


def _compared(check: str, what: str, differing: dict[int, Any], total: int) -> Finding:
    from dibs.database.health import Finding

    if not differing:
        return Finding(check, "ok", f"the {what} of {total} features agree with a recount")
    shown = ", ".join(
        f"{feature}: {kept!s}, counted {counted!s}"
        for feature, (kept, counted) in list(differing.items())[:5]
    )
    return Finding(
        check, "error", f"{len(differing)} features keep other {what} than a recount gives ({shown})."
    )


def _leases(found: Audit) -> Finding:
    from dibs.database.health import Finding

    now = time.time()
    late = [lease for lease in found.leases if lease.expires_at < now]
    says = f"{len(found.leases)} claims are held"
    if late:
        says += f", {len(late)} of them past their lease; the next claim or idle server takes them back"
    return Finding("leases", "ok", says)


def _peers(found: Audit) -> list[Finding]:
    from dibs.database.health import library_finding

    return [
        library_finding("writers", str(writer["library"]), f", last in {writer['process']}")
        for writer in found.writers
    ]


def _print(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    marks = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "error": "[red]error[/]"}
    table = Table.grid(padding=(0, 2))
    for one in findings:
        table.add_row(marks[one.level], one.check, escape(one.says))
    Console(highlight=False).print(table)
