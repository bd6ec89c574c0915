"""Create, replace and revoke the access tokens of a project."""

from __future__ import annotations

from sqlalchemy import bindparam, insert, or_, select, update

from dibs.database.transaction import Transaction
from dibs.queries.access_tokens import USE_RECORDED_AFTER
from dibs.rules.conditions import in_project
from dibs_schema.refusals import InvalidInput, NotFound
from dibs_schema.roles import Role
from dibs_schema.tables import projects, tokens

_T = tokens.c
_this = (in_project(tokens), _T.name == bindparam("token"))
_is_live = (_T.revoked_at.is_(None), or_(_T.expires_at.is_(None), _T.expires_at > bindparam("now")))
_exists = select(_T.name).where(*_this)
_replace = (
    update(tokens)
    .where(*_this, *_is_live)
    .values(
        {
            _T.previous_digest: _T.digest,
            _T.previous_expires_at: bindparam("until"),
            _T.digest: bindparam("new_digest"),
        }
    )
)
_revoke = (
    update(tokens)
    .where(*_this, _T.revoked_at.is_(None))
    .values({_T.revoked_at: bindparam("now"), _T.previous_digest: None, _T.previous_expires_at: None})
)
_use = (
    update(tokens)
    .where(
        _T.project_id == select(projects.c.id).where(projects.c.name == bindparam("of")).scalar_subquery(),
        _T.name == bindparam("token"),
        or_(_T.last_used_at.is_(None), _T.last_used_at < bindparam("before")),
    )
    .values({_T.last_used_at: bindparam("now")})
)


def create_access_token(
    tx: Transaction, by: str, name: str, digest: str, role: Role, agent: str | None, lifetime: float | None
) -> None:
    """Add an access token that expires after `lifetime` seconds, or never.

    Raises InvalidInput if the project has or had a token of that name: events refer to tokens by name.
    """
    if tx.first(_exists, token=name) is not None:
        raise InvalidInput(
            f"The access token {name!r} exists already, or existed. Choose another name, or replace the secret of that one "
            f"with `dibs token rotate {name}`.",
            field="name",
        )
    row = {"project_id": tx.project.id, "name": name, "digest": digest, "role": role.value, "agent": agent}
    expires_at = None if lifetime is None else tx.now + lifetime
    tx.run(insert(tokens).values(row | {"created_at": tx.now, "created_by": by, "expires_at": expires_at}))


def rotate_access_token(tx: Transaction, name: str, digest: str, grace: float) -> None:
    """Replace the secret of an access token; the present one works for another `grace` seconds.

    Raises NotFound if no token of that name works.
    """
    if not tx.run(_replace, token=name, new_digest=digest, until=tx.now + grace):
        raise _no_such(name, "works")


def revoke_access_token(tx: Transaction, name: str) -> None:
    """End an access token, and its former secret if that still works. Raises NotFound for an unknown name."""
    if not tx.run(_revoke, token=name) and tx.first(_exists, token=name) is None:
        raise _no_such(name, "exists")


def record_use(tx: Transaction, project: str, name: str) -> None:
    """Record that an access token of any project was used now, unless a use was recorded in the last minute."""
    tx.run(_use, of=project, token=name, before=tx.now - USE_RECORDED_AFTER)


def _no_such(name: str, verb: str) -> NotFound:
    return NotFound(f"No access token {name[:60]!r} {verb} in this project. `dibs token list` shows them.")
