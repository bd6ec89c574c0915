"""`dibs doctor`: checks a backlog."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from dibs.cli.audit_findings import audit_findings
from dibs.cli.escaped_text import one_line
from dibs.cli.options import backlog, backlog_command, print_json
from dibs.cli.terminal_text import console
from dibs.database.health import HealthCheck
from dibs.platform.users import user_name
from dibs.root_folder import BACKLOG, current_folder, has_backlog, possible_roots
from dibs.settings import Settings
from dibs_schema import refusals

if TYPE_CHECKING:
    from pathlib import Path

    from dibs.database import Database
    from dibs.verbs.repair import Repaired


STATUS = {"ok": 0, "warning": 1, "error": 2}

CHECK: dict[type[refusals.Unavailable], str] = {
    refusals.DatabaseDamaged: "integrity",
    refusals.SchemaNewer: "schema",
    refusals.UnsafeFilesystem: "file system",
    refusals.ReadOnly: "file",
    refusals.DatabaseReplaced: "identity",
}
"""The check that a refusal to open the database stands for."""


@click.command()
@click.option(
    "--repair-counters",
    is_flag=True,
    help="Recompute counters, heights, file areas and folded names, and nothing else.",
)
@click.option(
    "--quarantine", "keep", is_flag=True, help="First copy a damaged file, page by page, to FILE.damaged, once."
)
@click.option(
    "--recover",
    "recovering",
    is_flag=True,
    help="First allow writes again, after the disk failed to keep a change. Stop the servers before.",
)
@backlog_command
def doctor(*, repair_counters: bool, keep: bool, recovering: bool, as_json: bool, **flags: Any) -> None:
    """Check integrity, counters, states against events, leases, locks, the SQLite library and the file system.

    Nothing is written without --repair-counters, --quarantine or --recover. The exit status is 0 without findings, 1
    with warnings, and 2 with errors. After a repair, the exit status is that of a new check.
    """
    repaired = None
    settings = Settings.read(flags)
    kept = [_quarantine(settings)] if keep else []
    try:
        if recovering:
            kept.append(_recover(settings))
        findings = _unopened(settings, repairing=repair_counters)
        if findings is None:
            with backlog(flags, read_only=not repair_counters) as database:
                if repair_counters:
                    repaired = _repair(database)
                findings = _examine(database, settings)
    except (refusals.Busy, refusals.OutcomeUnknown):
        raise
    except (refusals.NotFound, refusals.InvalidInput) as refusal:
        findings = [HealthCheck("database", "error", refusal.message)]
    except refusals.Unavailable as refusal:
        findings = [HealthCheck(CHECK.get(type(refusal), refusal.code), "error", refusal.message)]
    findings = [*kept, *findings]
    worst = max(STATUS[one.level] for one in findings)
    if as_json:
        repairs = {"repaired": repaired.wire()} if repaired is not None else {}
        print_json({"status": worst, "findings": [asdict(one) for one in findings]} | repairs)
    else:
        _print(findings, repaired)
    sys.exit(worst)


def _quarantine(settings: Settings) -> HealthCheck:
    """Copy the database file. Raises InvalidInput for a server's database."""
    from dibs.transfer.quarantine import quarantine

    copy = quarantine(_file_of(settings, "quarantine"))
    return HealthCheck("quarantine", "ok", f"a copy of the file, page by page, is {copy}")


def _recover(settings: Settings) -> HealthCheck:
    """Allow writes again after a failed sync. Raises InvalidInput for a server's database."""
    from dibs.transfer.recover import recover

    done = recover(_file_of(settings, "recover"))
    says = "everything is on disk" + (", and writes are allowed again" if done else "; no failure was recorded")
    return HealthCheck("recover", "ok", says)


def _file_of(settings: Settings, option: str) -> Path:
    if settings.is_server_url:
        raise refusals.InvalidInput(f"--{option} is for a file, and a server's database has none.", field=option)
    return settings.database_file()


def _unopened(settings: Settings, *, repairing: bool) -> list[HealthCheck] | None:
    """Return the findings about a database that opening would migrate, or None. Raises NotFound."""
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
            "older servers must then be restarted. Until then nothing else can be checked."
            + (" Nothing was repaired." if repairing else ""),
        )
    ]


def _examine(database: Database, settings: Settings) -> list[HealthCheck]:
    from dibs.database.file_inspection import is_open_nowhere
    from dibs.queries.audit import audit

    # Before the database is opened here: only the lock shows processes in other containers.
    nobody = database.file is not None and is_open_nowhere(database.file.resolve()) is True
    findings = [*_several_backlogs(settings), *database.check_health()]
    return findings + audit_findings(database.read_now(audit), settings.hold_limit, nobody_there=nobody)


def _several_backlogs(settings: Settings) -> Iterator[HealthCheck]:
    """Yield a warning if the project has a second backlog, as from an older version that used another folder."""
    if settings.db is None:
        found = [one for one in possible_roots(current_folder(), isolated=settings.isolated) if has_backlog(one)]
        if len(found) > 1:
            used, *others = (str(one / BACKLOG) for one in found)
            says = f"{used} is used, and this repository has another: {', '.join(others)}. Import it, or remove it."
            yield HealthCheck("backlog", "warning", says)


def _repair(database: Database) -> Repaired:
    """Recompute counters, heights and areas. Raises DatabaseDamaged if the database itself is not sound."""
    from dibs.verbs.repair import repair_counters

    for one in database.check_health():
        if one.check in ("integrity", "references") and one.level == "error":
            raise refusals.DatabaseDamaged(f"Nothing was repaired: {one.says}")
    return database.write_now(lambda tx: repair_counters(tx, user_name()))


def _print(findings: list[HealthCheck], repaired: Repaired | None) -> None:
    from rich.table import Table
    from rich.text import Text

    colours = {"ok": "green", "warning": "yellow", "error": "red"}
    table = Table.grid(padding=(0, 2))
    for overflow in ("ellipsis", "ellipsis", "fold"):  # a long path is not cut
        table.add_column(overflow=overflow)
    if repaired is not None:
        table.add_row(Text("repaired", "green"), "", _describe(repaired))
    for one in findings:
        table.add_row(Text(one.level, colours[one.level]), one.check, one_line(one.says))
    console().print(table, soft_wrap=False)


def _describe(repaired: Repaired) -> str:
    parts = [
        f"{len(changed)} {what} ({', '.join(f'{one}: {old} is now {new}' for one, (old, new) in changed.items())})"
        for what, changed in repaired.wire().items()
        if changed
    ]
    return "; ".join(parts) or "nothing, since all values were correct"
