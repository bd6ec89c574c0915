"""What PostgreSQL's errors mean for a caller, in our own words.

Source: https://www.postgresql.org/docs/current/errcodes-appendix.html (class and code of SQLSTATE).
"""

from __future__ import annotations

import re
from collections.abc import Callable

import psycopg
from sqlalchemy.exc import DBAPIError

from dibs.database.engine import NotApplied, Unreachable
from dibs_schema.refusals import (
    DatabaseDamaged,
    DatabaseReplaced,
    DiskFull,
    InvalidInput,
    ReadOnly,
    Refusal,
)


def meaning(label: str, error: BaseException) -> Refusal | None:
    """The refusal that a driver's error stands for, or None where it is a mistake of ours.

    The error is one of a statement that was not COMMIT: the transaction has left no trace.
    """
    code = getattr(error, "sqlstate", None)
    if code is None:
        lost = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        return _unconnected(label, str(error)) if lost else None
    refuse = _BY_CODE.get(code) or _BY_CLASS.get(code[:2])
    return refuse(label) if refuse is not None else None


def original(error: DBAPIError | psycopg.Error) -> BaseException:
    """The driver's error, also where SQLAlchemy has wrapped it."""
    return error.orig if isinstance(error, DBAPIError) and error.orig else error


def is_lost(error: BaseException) -> bool:
    """Whether the connection went down with the error, so that the server's answer is not known."""
    if not isinstance(error, psycopg.Error):
        return False
    code = error.sqlstate
    return (code is None and isinstance(error, psycopg.OperationalError)) or code in _ENDED


_ENDED = ("57P01", "57P02", "57P03", "57P05", "08000", "08003", "08006", "08P01")


def _gone(label: str) -> Refusal:
    return Unreachable(
        f"{label} is not to be reached now: the server is down, restarts, or changes hands. Nothing was changed. "
        "Call again in a moment."
    )


def _on_standby(label: str) -> Refusal:
    return Unreachable(
        f"{label} takes no writes: it is a standby, or was made one. Nothing was changed. Call again in a moment; "
        "if it lasts, name the server that takes writes in DIBS_DB too: postgresql://user@host1,host2/database."
    )


def _too_slow(label: str) -> Refusal:
    return NotApplied(
        f"{label} ended a transaction in which this process had stood still. Nothing was changed. Call again."
    )


def _unconnected(label: str, said: str) -> Refusal:
    """What a lost connection means, or one that was not made: libpq has no code for that, only words.

    Words that are not known, or in another language, mean that it may be tried again.
    """
    known = (refuse for words, refuse in _BY_WORDS.items() if words.search(said))
    return next(known, _gone)(label)


def _contended(label: str) -> Refusal:
    return NotApplied(
        f"Other writers were in the way at {label}. Nothing was changed, and the database is healthy. "
        "Call again in a moment."
    )


def _crowded(label: str) -> Refusal:
    return NotApplied(
        f"{label} has no connection left. Nothing was changed. Call again in a moment; if it lasts, raise "
        "max_connections or put a pooler before it (docs/how-to/postgresql.md)."
    )


def _unprepared(_: str) -> Refusal:
    return NotApplied(
        "A connection pooler mixed up prepared statements. Nothing was changed. Give Dibs a pool in session mode, "
        "or the server's own address."
    )


def _refused(label: str) -> Refusal:
    return InvalidInput(
        f"{label} does not let this user in, or there is no such database. "
        "Check user, password, database and sslmode in DIBS_DB.",
        field="db",
    )


def _forbidden(label: str) -> Refusal:
    return ReadOnly(
        f"This user may not do that at {label}. Nothing was changed. docs/how-to/postgresql.md lists the grants it needs."
    )


def _emptied(label: str) -> Refusal:
    return DatabaseReplaced(
        f"{label} no longer holds the backlog's tables: it was emptied or replaced. Nothing was written. "
        "Restart the server to serve what is there now."
    )


def _full(label: str) -> Refusal:
    return DiskFull(
        f"There is no room to write at {label}. Nothing was changed. Free some space and call again."
    )


def _damaged(label: str) -> Refusal:
    return DatabaseDamaged(
        f"PostgreSQL reports that {label} is damaged. Nothing was changed. Stop the agents and bring back a backup."
    )


_BY_CODE: dict[str, Callable[[str], Refusal]] = {
    "25006": _on_standby,
    "25P03": _too_slow,
    "25P04": _too_slow,
    "26000": _unprepared,
    "42P05": _unprepared,
    "08P01": _unprepared,
    "40001": _contended,
    "40P01": _contended,
    "55P03": _contended,
    "57014": _contended,
    "53300": _crowded,
    "53100": _full,
    "3D000": _refused,
    "42501": _forbidden,
    "42P01": _emptied,
    "42703": _emptied,
    "3F000": _emptied,
    "XX001": _damaged,
    "XX002": _damaged,
}
_BY_CLASS: dict[str, Callable[[str], Refusal]] = {
    "08": _gone,
    "57": _gone,
    "28": _refused,
    "53": _crowded,
}
_BY_WORDS: dict[re.Pattern[str], Callable[[str], Refusal]] = {
    re.compile("too many (clients|connections)|connection slots"): _crowded,
    re.compile(
        "authentication failed|no password supplied|does not exist|no such (user|database)|no pg_hba.conf entry"
        "|permission denied|not permitted|SSL was required|certificate"
    ): _refused,
}
"""What PostgreSQL and PgBouncer say to who may not connect."""
