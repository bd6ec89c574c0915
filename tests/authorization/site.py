"""A server over HTTP with access tokens, and callers who have one of them, or none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

from dibs.database import Database, open_database
from dibs.rules.access_tokens import digest_of, new_access_token
from dibs.settings import Settings
from dibs.verbs.access_tokens import create_access_token
from dibs_schema.roles import Role
from listening import STATELESS, Caller, Listening, listening, read

OTHER = "other"
"""The name of the second project."""


@contextmanager
def opened(db: str, project: str = "default") -> Iterator[Database]:
    """Open a project of a database during the block."""
    with closing(open_database(Settings(db=db, project=project))) as database:
        yield database


def new_token(
    database: Database, name: str, role: Role, agent: str | None = None, lifetime: float | None = None
) -> str:
    """Create an access token in a project, and return its secret."""
    secret = new_access_token()
    database.write_now(lambda tx: create_access_token(tx, "admin", name, digest_of(secret), role, agent, lifetime))
    return secret


def bearer(secret: str) -> dict[str, str]:
    """Return the header that carries an access token."""
    return {"authorization": f"Bearer {secret}"}


@dataclass
class Site:
    """A server, its database, and the callers that have spoken to it so far."""

    db: str
    server: Listening
    _callers: dict[tuple[str, str], Caller] = field(default_factory=dict)

    def caller(self, secret: str | None, revision: str = STATELESS) -> Caller:
        """Return the caller that sends an access token, or none."""
        key = (secret or "", revision)
        if key not in self._callers:
            self._callers[key] = Caller(self.server.url, revision, bearer(secret) if secret is not None else {})
        return self._callers[key]

    def outcome(self, secret: str | None, tool: str, arguments: Mapping[str, Any]) -> str:
        """Return how a call ends: `ok`, the code of its refusal, or the status of the HTTP response."""
        try:
            response = self.caller(secret).post("tools/call", {"name": tool, "arguments": dict(arguments)})
        except httpx2.TransportError as error:
            raise AssertionError(f"{self.server.process.poll()}: {self.server.said()[-2_000:]}") from error
        return outcome(response)

    def close(self) -> None:
        """Close the callers' connections."""
        for one in self._callers.values():
            one.close()


def outcome(response: httpx2.Response) -> str:
    """Return how a call ended."""
    if response.status_code != 200:
        return str(response.status_code)
    told = read(response)["result"]["structuredContent"]
    return str(told["error"]["code"]) if "error" in told else "ok"


@contextmanager
def site(db: str, *flags: str) -> Iterator[Site]:
    """Run a server over HTTP on a database during the block. It must have an access token by now."""
    with listening(db, *flags) as server, closing(Site(db, server)) as one:
        yield one
