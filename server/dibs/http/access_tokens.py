"""Looks up access tokens in the database, and remembers the answers for a few seconds."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections import Counter, OrderedDict
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeVar

from dibs.database import VerbJob
from dibs.http.addresses import parsed
from dibs.http.authentication import Denied
from dibs.rules.access_tokens import digest_of, has_form
from dibs.session.principal import Principal
from dibs_schema.refusals import Refusal

if TYPE_CHECKING:
    from dibs.database import Database
    from dibs.queries.access_tokens import AccessToken

T = TypeVar("T")

logger = logging.getLogger(__name__)

REMEMBERED_SECONDS: Final = 5.0
"""Seconds after which an access token is looked up again: so long may one work that was revoked."""
MOST_REMEMBERED: Final = 10_000
"""Digests that are remembered, of the tokens that work and of those that do not."""
ATTEMPTS_OF_ALL: Final = 200
"""Tokens that are looked up in a second, without those that have worked before."""
ATTEMPTS_OF_ONE: Final = 20
"""Tokens of one address that are looked up in a second, likewise."""


class AccessTokens:
    """Verifies access tokens. `project` is the only project that is served, or None for every project."""

    def __init__(self, database: Database, project: str | None = None) -> None:
        self._database = database
        self._project = project
        self._answers: OrderedDict[str, tuple[float, Principal | None]] = OrderedDict()
        self._have_worked: OrderedDict[str, None] = OrderedDict()
        self._lookups: dict[str, asyncio.Task[Principal | None]] = {}
        self._uses: set[asyncio.Task[None]] = set()
        self._attempts = _Attempts()

    async def verify(self, credential: str, address: str) -> Principal | None:
        """Return the principal that an access token proves, or None. A malformed token costs no look-up.

        Raises Denied if the database does not answer, if too many unknown tokens were sent, or for another project's
        token.
        """
        if not has_form(credential):
            return None
        digest = digest_of(credential)
        answer = self._answers.get(digest)
        if answer is not None and answer[0] > time.monotonic():
            principal = answer[1]
        else:
            if digest in self._have_worked:
                self._have_worked.move_to_end(digest)
            elif digest not in self._lookups and not self._attempts.take(address):
                words = "Too many unknown access tokens were sent. Send this one again later."
                raise Denied(HTTPStatus.TOO_MANY_REQUESTS, words, {"retry-after": "1"})
            principal = await self._look_up(digest)
        if principal is not None and self._project not in (None, principal.project):
            words = f"The access token is not for this server, which serves the project {self._project!r} alone."
            raise Denied(HTTPStatus.FORBIDDEN, words, {})
        return principal

    async def _look_up(self, digest: str) -> Principal | None:
        """Look up a digest. Requests that ask at the same time share the answer."""
        if digest not in self._lookups:
            self._lookups[digest] = lookup = asyncio.create_task(self._find(digest))
            lookup.add_done_callback(_retrieve)  # those who asked may have left
        try:
            return await asyncio.shield(self._lookups[digest])
        except Refusal as refusal:
            logger.warning("an access token could not be looked up: %s", refusal)
            words = "The access token cannot be looked up now. Send this request again later."
            raise Denied(HTTPStatus.SERVICE_UNAVAILABLE, words, {"retry-after": "1"}) from None

    async def _find(self, digest: str) -> Principal | None:
        from dibs.queries.access_tokens import find_access_token

        try:
            asked_at = time.monotonic()
            found = await self._database.read(lambda tx: find_access_token(tx, digest))
        finally:
            del self._lookups[digest]
        lasts = REMEMBERED_SECONDS
        principal = None
        if found is None:
            self._have_worked.pop(digest, None)
        else:
            lasts = min(lasts, found.expires_in) if found.expires_in is not None else lasts
            principal = Principal(found.name, found.project, found.role, found.agent)
            _remember(self._have_worked, digest, None)
            self._record_use(found)
        _remember(self._answers, digest, (asked_at + lasts, principal))
        return principal

    def _record_use(self, found: AccessToken) -> None:
        """Record in the background that an access token was used, unless that was recorded lately."""
        if found.is_use_due:
            task = asyncio.create_task(self._write_use(found.project, found.name))
            self._uses.add(task)
            task.add_done_callback(self._uses.discard)

    async def _write_use(self, project: str, name: str) -> None:
        from dibs.verbs.access_tokens import record_use

        with suppress(Refusal):  # the next look-up tries again
            await self._database.write(VerbJob(lambda tx: record_use(tx, project, name), exclusive=False))


class _Attempts:
    """Counts the tokens that were looked up in this second, in total and for each address."""

    def __init__(self) -> None:
        self._second = 0
        self._counted: Counter[str] = Counter()
        self._total = 0

    def take(self, address: str) -> bool:
        """Count a token from an address, and return whether it may be looked up."""
        second = int(time.monotonic())
        if second != self._second:
            self._second = second
            self._counted.clear()
            self._total = 0
        source = _network_of(address)
        if self._total >= ATTEMPTS_OF_ALL or self._counted[source] >= ATTEMPTS_OF_ONE:
            return False
        self._counted[source] += 1
        self._total += 1
        return True


def _network_of(address: str) -> str:
    """Return what an attacker cannot vary: an IPv4 address, or the network of 64 bits of an IPv6 address."""
    found = parsed(address)
    if found is None:
        return ""
    return str(found) if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))


def _retrieve(lookup: asyncio.Task[Principal | None]) -> None:
    if not lookup.cancelled():
        lookup.exception()


def _remember(there: OrderedDict[str, T], digest: str, value: T) -> None:
    there[digest] = value
    there.move_to_end(digest)
    if len(there) > MOST_REMEMBERED:
        there.popitem(last=False)
