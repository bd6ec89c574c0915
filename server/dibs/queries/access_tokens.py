"""Look up an access token by its digest, and list the access tokens of a project."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import and_, bindparam, func, or_, select

from dibs.database.compiled import hot
from dibs.database.transaction import Row, Transaction
from dibs.rules.conditions import in_project
from dibs_schema.roles import Role
from dibs_schema.tables import projects, tokens

_T, _P = tokens.c, projects.c
_now = bindparam("now", type_=_T.created_at.type)
_digest = bindparam("digest", type_=_T.digest.type)
_is_live = and_(_T.revoked_at.is_(None), or_(_T.expires_at.is_(None), _T.expires_at > _now))
_with_digest = hot(
    select(_T.name, _T.role, _T.agent, _T.expires_at, _T.last_used_at, _P.name.label("project"))
    .join(_P.id.table, _P.id == _T.project_id)
    .where(
        _P.moved_to.is_(None),
        _is_live,
        or_(_T.digest == _digest, and_(_T.previous_digest == _digest, _T.previous_expires_at > _now)),
    )
)
_listed = select(tokens).where(in_project(tokens)).order_by(_T.created_at, _T.name)
_counted = select(func.count().label("made"), func.count().filter(_is_live).label("live")).select_from(tokens)
USE_RECORDED_AFTER = 60.0
"""Seconds for which a further use of an access token is not recorded."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """An access token that works. `expires_in` are seconds; `is_use_due` says that its use must be recorded."""

    name: str
    project: str
    role: Role
    agent: str | None
    expires_in: float | None
    is_use_due: bool


def find_access_token(tx: Transaction, digest: str) -> AccessToken | None:
    """Return the access token of any project with that digest, or None if none works.

    A token that two live projects share, because one is a manual copy of the other, works in neither.
    """
    rows = tx.all(_with_digest, digest=digest)
    if len(rows) != 1:
        return None
    row = rows[0]
    return AccessToken(
        row["name"],
        row["project"],
        Role(row["role"]),
        row["agent"],
        None if row["expires_at"] is None else row["expires_at"] - tx.now,
        row["last_used_at"] is None or row["last_used_at"] < tx.now - USE_RECORDED_AFTER,
    )


def list_access_tokens(tx: Transaction) -> list[Row]:
    """Return the rows of the project's access tokens, the oldest first, also those that no longer work."""
    return list(tx.all(_listed))


def count_access_tokens(tx: Transaction) -> tuple[int, int]:
    """Return how many access tokens all projects have, also those that no longer work, and how many of them work."""
    row = tx.all(_counted)[0]
    return row["made"], row["live"]
