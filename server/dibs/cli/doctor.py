"""`dibs doctor`: whether this backlog is well."""

from __future__ import annotations

import getpass
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from dibs.cli.options import backlog, looks_at_backlog, print_json
from dibs.database.health import HealthCheck, check_library
from dibs.queries.audit import Audit, OpenLease
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
    from dibs.cli.doctor import recounted
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


PATIENT = 60.0
"""Seconds for which a lease may have run out before somebody should have noticed."""

REPAIR = "`dibs doctor --repair-counters` sets them right."
STRAY = (
    "Somebody wrote to the tables by hand, or a backup was mixed with its successor. Look at `dibs show`, and restore."
)


def recounted(found: Audit, hold_limit: float, *, nobody_there: bool) -> list[HealthCheck]:
    """The findings of a recount; `nobody_there` where it is known that no other process has the database open."""
    return [
        _compared("counters", "unmet dependencies", found.counters, found.features, REPAIR),
        _compared("heights", "heights", found.heights, found.features, REPAIR),
        _compared("areas", "file areas", found.areas, found.features, REPAIR),
        _compared("journal", "states", found.states, found.features, STRAY),
        _replayed(found),
        _claims(found),
        *_leases(found.leases, hold_limit, nobody_there=nobody_there),
        *(
            check_library("writers", str(writer["library"]), f", last in {writer['process']}")
            for writer in found.writers
        ),
    ]


def _compared(check: str, what: str, differing: Mapping[int, Any], total: int, advice: str) -> HealthCheck:
    if not differing:
        return HealthCheck(check, "ok", f"the {what} of {total} features agree with a recount")
    shown = ", ".join(
        f"{feature}: {kept!s}, counted {counted!s}" for feature, (kept, counted) in list(differing.items())[:5]
    )
    says = f"{len(differing)} features keep other {what} than a recount gives ({shown}). {advice}"
    return HealthCheck(check, "error", says)


def _replayed(found: Audit) -> HealthCheck:
    if not found.gaps:
        return HealthCheck("replay", "ok", "every move starts where the one before it ended")
    shown = ", ".join(
        f"{feature}: {kind} from {source}, but it was {left}"
        for feature, (kind, source, left) in list(found.gaps.items())[:5]
    )
    return HealthCheck("replay", "error", f"the journal of {len(found.gaps)} features has gaps ({shown}). {STRAY}")


def _claims(found: Audit) -> HealthCheck:
    if not found.claims:
        return HealthCheck("claims", "ok", "every claim has its holder's event, and its columns fit its state")
    shown = "; ".join(f"{feature}: {what}" for feature, what in list(found.claims.items())[:5])
    return HealthCheck("claims", "error", f"{len(found.claims)} features have wrong claim columns ({shown}). {STRAY}")


def _leases(leases: list[OpenLease], hold_limit: float, *, nobody_there: bool) -> list[HealthCheck]:
    now = time.time()
    live = [one for one in leases if not one.run_out]
    late = [one for one in leases if one.run_out]
    idle = [one for one in live if now - one.active_at > hold_limit]
    left = [one for one in live if one.connected and (nobody_there or one.elsewhere) and one not in idle]
    findings = []
    if late:
        since = now - min(one.expires_at for one in late)
        says = f"{_which(late)} past the lease, for up to {_span(since)}; the next claim or idle server takes them back"
        if since > PATIENT:
            says += ". Nobody has, so no server is at work: start one"
        findings.append(HealthCheck("leases", "warning" if since > PATIENT else "ok", f"{says}."))
    if idle:
        says = f"{_which(idle)} held without a call about it for longer than {_span(hold_limit)}; a planner gives them back "
        findings.append(HealthCheck("leases", "warning", f"{says}with `dibs release ID --force`."))
    if left:
        ends = _span(max(one.expires_at for one in left) - now)
        why = "no server has the database open" if nobody_there else "the machine was started anew, or it is another"
        says = f"{_which(left)} held by a server that is gone ({why}). They come back by themselves within {ends}."
        findings.append(HealthCheck("leases", "warning", says))
    return findings or [HealthCheck("leases", "ok", f"{len(leases)} claims are held")]


def _which(leases: list[OpenLease]) -> str:
    shown = ", ".join(f"{one.feature} by {one.holder}" for one in leases[:5])
    more = f" and {len(leases) - 5} more" if len(leases) > 5 else ""
    return f"{shown}{more}: {'is' if len(leases) == 1 else 'are'}"


def _span(seconds: float) -> str:
    units: list[tuple[float, Callable[[float], str]]] = [
        (90, lambda one: f"{max(one, 0):.0f} s"),
        (5400, lambda one: f"{one / 60:.0f} min"),
    ]
    return next((say(seconds) for most, say in units if seconds < most), f"{seconds / 3600:.0f} h")
