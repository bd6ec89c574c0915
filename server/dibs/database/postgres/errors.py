"""Turn PostgreSQL's errors into refusals.

Source: https://www.postgresql.org/docs/current/errcodes-appendix.html (class and code of SQLSTATE).
"""

from __future__ import annotations

import re

import psycopg
from sqlalchemy.exc import DBAPIError

from dibs.database.engine import EMPTIED, Meaning, NotApplied, Unreachable
from dibs_schema.refusals import DatabaseDamaged, DiskFull, InvalidInput, ReadOnly, Refusal


def meaning(label: str, error: BaseException) -> Refusal | None:
    """Return the refusal for an error of a statement other than COMMIT, or None if the error is a bug of Dibs."""
    code = getattr(error, "sqlstate", None)
    if code is not None:
        found = _BY_CODE.get(code) or _BY_CLASS.get(code[:2])
    elif isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        # The connection was lost or not made. libpq has no code for that, only a message. An unknown message, or one
        # in another language, means that the call may be repeated.
        found = next((one for words, one in _BY_WORDS.items() if words.search(str(error))), _GONE)
    else:
        return None
    return found.of(label) if found is not None else None


def original(error: DBAPIError | psycopg.Error) -> BaseException:
    """Return the driver's error, even if SQLAlchemy has wrapped it."""
    return error.orig if isinstance(error, DBAPIError) and error.orig else error


def is_lost(error: BaseException) -> bool:
    """Return whether the connection was lost with the error, so that the server's answer is unknown."""
    if not isinstance(error, psycopg.Error):
        return False
    code = error.sqlstate
    return (code is None and isinstance(error, psycopg.OperationalError)) or code in _ENDED


_ENDED = ("57P01", "57P02", "57P03", "57P05", "08000", "08003", "08006", "08P01")


_GONE = Meaning(
    Unreachable,
    "{} cannot be reached now: the server is down, restarts, or fails over. Nothing was changed. "
    "Call again in a moment.",
)
_STANDBY = Meaning(
    Unreachable,
    "{} takes no writes: it is a standby, or has become one. Nothing was changed. Call again in a moment; "
    "if it lasts, name the server that takes writes in DIBS_DB too: postgresql://user@host1,host2/database.",
)
_TOO_SLOW = Meaning(
    NotApplied, "{} ended a transaction in which this process was idle for too long. Nothing was changed. Call again."
)
_CONTENDED = Meaning(
    NotApplied,
    "Other writers blocked this call at {}. Nothing was changed, and the database is healthy. Call again in a moment.",
)
_CROWDED = Meaning(
    NotApplied,
    "{} has no connection left. Nothing was changed. Call again in a moment; if it lasts, raise "
    "max_connections or put a pooler before it (docs/how-to/postgresql.md).",
)
_UNPREPARED = Meaning(
    NotApplied,
    "A connection pooler mixed up prepared statements. Nothing was changed. Give Dibs a pool in session mode, "
    "or the server's own address.",
)
_REFUSED = Meaning(
    InvalidInput,
    "{} does not let this user in, or there is no such database. "
    "Check user, password, database and sslmode in DIBS_DB.",
    field="db",
)
_FORBIDDEN = Meaning(
    ReadOnly,
    "This user may not do that at {}. Nothing was changed. docs/how-to/postgresql.md lists the grants it needs.",
)
_FULL = Meaning(DiskFull, "There is no room to write at {}. Nothing was changed. Free some space and call again.")
_DAMAGED = Meaning(
    DatabaseDamaged, "PostgreSQL reports that {} is damaged. Nothing was changed. Stop the agents and restore a backup."
)

_BY_CODE = {
    "25006": _STANDBY,
    "3D000": _REFUSED,
    "42501": _FORBIDDEN,
    "53100": _FULL,
    "53300": _CROWDED,
    **dict.fromkeys(("25P03", "25P04"), _TOO_SLOW),
    **dict.fromkeys(("26000", "42P05", "08P01"), _UNPREPARED),
    **dict.fromkeys(("40001", "40P01", "55P03", "57014"), _CONTENDED),
    **dict.fromkeys(("42P01", "42703", "3F000"), EMPTIED),
    **dict.fromkeys(("XX001", "XX002"), _DAMAGED),
}
_BY_CLASS = {"08": _GONE, "57": _GONE, "28": _REFUSED, "53": _CROWDED}
_BY_WORDS = {
    re.compile("too many (clients|connections)|connection slots"): _CROWDED,
    re.compile(
        "authentication failed|no password supplied|does not exist|no such (user|database)|no pg_hba.conf entry"
        "|permission denied|not permitted|SSL was required|certificate"
    ): _REFUSED,
}
"""Messages of PostgreSQL and PgBouncer to a client that may not connect."""
