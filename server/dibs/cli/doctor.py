"""`dibs doctor`: whether this backlog is well."""

from __future__ import annotations

import getpass
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from dibs.cli.options import backlog, looks_at_backlog, print_json
from dibs.settings import Settings
from dibs_schema.refusals import (
    Busy,
    DatabaseDamaged,
    DatabaseReplaced,
    InvalidInput,
    NotFound,
    OutcomeUnknown,
    ReadOnly,
    SchemaNewer,
    Unavailable,
    UnsafeFilesystem,
)

if TYPE_CHECKING:
    from dibs.database import Database
    from dibs.database.health import HealthCheck
    from dibs.verbs.repair import Repaired

STATUS = {"ok": 0, "warning": 1, "error": 2}

CHECK: dict[type[Unavailable], str] = {
    DatabaseDamaged: "integrity",
    SchemaNewer: "schema",
    UnsafeFilesystem: "file system",
    ReadOnly: "file",
    DatabaseReplaced: "identity",
}
"""What failed where a database cannot even be opened."""


@click.command()
@click.option(
    "--repair-counters",
    is_flag=True,
    help="Set counters, heights and file areas to what a recount gives; the rest stays.",
)
@looks_at_backlog
def doctor(*, repair_counters: bool, as_json: bool, **flags: Any) -> None:
    """Check integrity, counters against a recount, states against the journal, leases, locks, library, file system.

    Writes nothing, unless --repair-counters is given. The exit status is 0 where all is well, 1 with warnings, 2
    with errors; of a repair, what it is afterwards.
    """
    from dibs.database.health import HealthCheck

    repaired = None
    settings = Settings.read(flags)
    try:
        findings = _unopened(settings, repairing=repair_counters)
        if findings is None:
            with backlog(flags, read_only=not repair_counters) as database:
                if repair_counters:
                    repaired = _repair(database)
                findings = _examine(database, settings)
    except (Busy, OutcomeUnknown):
        raise
    except (NotFound, InvalidInput) as refusal:
        findings = [HealthCheck("database", "error", refusal.message)]
    except Unavailable as refusal:
        findings = [HealthCheck(CHECK.get(type(refusal), refusal.code), "error", refusal.message)]
    worst = max(STATUS[one.level] for one in findings)
    if as_json:
        told = {"repaired": repaired.wire()} if repaired is not None else {}
        print_json({"status": worst, "findings": [asdict(one) for one in findings]} | told)
    else:
        _print(findings, repaired)
    sys.exit(worst)


def _unopened(settings: Settings, *, repairing: bool) -> list[HealthCheck] | None:
    """What there is to say of a database that opening would change, or None. Raises NotFound."""
    from dibs.database.health import HealthCheck
    from dibs.transfer.bulk import inspect_schema
    from dibs_schema.tables import HEAD

    version = inspect_schema(settings)
    if version >= HEAD:
        return None
    return [
        HealthCheck(
            "schema",
            "warning",
            f"version {version}, this Dibs knows {HEAD}. The next server or command that opens it migrates it, and "
            "older servers must be restarted then. Until then nothing else can be checked."
            + " Nothing was repaired."
            * repairing,
        )
    ]


def _examine(database: Database, settings: Settings) -> list[HealthCheck]:
    from dibs.cli.recounting import recounted
    from dibs.database.files import is_open_nowhere
    from dibs.queries.audit import audit

    # Before the database is opened here: who is in another container is seen by the lock alone.
    nobody = database.file is not None and is_open_nowhere(database.file.resolve()) is True
    findings = database.check_health()
    return findings + recounted(database.read_now(audit), settings.hold_limit, nobody_there=nobody)


def _repair(database: Database) -> Repaired:
    """Set counters, heights and areas right, where the database itself is sound. Raises DatabaseDamaged."""
    from dibs.verbs.repair import repair_counters

    for one in database.check_health():
        if one.check in ("integrity", "references") and one.level == "error":
            raise DatabaseDamaged(f"Nothing was repaired: {one.says}")
    return database.write_now(lambda tx: repair_counters(tx, getpass.getuser()))


def _print(findings: list[HealthCheck], repaired: Repaired | None) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    marks = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "error": "[red]error[/]"}
    table = Table.grid(padding=(0, 2))
    if repaired is not None:
        table.add_row("[green]repaired[/]", "", escape(_told(repaired)))
    for one in findings:
        table.add_row(marks[one.level], one.check, escape(one.says))
    Console(highlight=False).print(table)


def _told(repaired: Repaired) -> str:
    parts = [
        f"{len(changed)} {what} ({', '.join(f'{one}: {kept} is {now} now' for one, (kept, now) in changed.items())})"
        for what, changed in repaired.wire().items()
        if changed
    ]
    return "; ".join(parts) or "nothing, for nothing was wrong"
