"""Fixtures: one server over HTTP for the tests of a module, with access tokens of every role in two projects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pytest
from sqlalchemy import update

from authorization.site import OTHER, Site, new_token, opened, site
from dibs.rules.access_tokens import new_access_token
from dibs.verbs.access_tokens import revoke_access_token
from dibs_schema.roles import Role
from dibs_schema.tables import projects

AGENT = "ada"
"""The agent of every token of a role."""


@dataclass
class Tokens:
    """The secrets: by project and role, and those that do not work, by the reason."""

    live: dict[tuple[str, Role], str]
    dead: dict[str, str | None]


@pytest.fixture(scope="module")
def shared_db(new_db: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """The database that the module's server serves."""
    with new_db() as name:
        yield name


@pytest.fixture(scope="module")
def tokens(shared_db: str) -> Tokens:
    """Access tokens of every role in both projects, and one for each reason why a token does not work."""
    found = Tokens({}, {})
    for project in ("default", OTHER):
        with opened(shared_db, project) as database:
            database.write_now(lambda tx: tx.run(update(projects).values(max_claims=10_000)))
            for role in Role:
                found.live[project, role] = new_token(database, f"{project}-{role}", role, AGENT)
            if project == "default":
                found.dead["expired"] = new_token(database, "expired", Role.ALL, AGENT, lifetime=-1)
                found.dead["revoked"] = new_token(database, "revoked", Role.ALL, AGENT)
                database.write_now(lambda tx: revoke_access_token(tx, "revoked"))
    secret = new_access_token()
    found.dead |= {"none": None, "unknown": secret, "malformed": secret[:-1] + ("a" if secret[-1] != "a" else "b")}
    return found


@pytest.fixture(scope="module")
def shared(shared_db: str, tokens: Tokens) -> Iterator[Site]:
    """The module's server."""
    with site(shared_db) as one:
        yield one
