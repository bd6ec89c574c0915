"""The HTTP part of `dibs serve`: where the server can be reached, and whether it asks for access tokens."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
from limits import parse

from dibs.database import Database, open_database
from dibs.http.access_tokens import AccessTokens
from dibs.http.authentication import RATE, Authentication
from dibs.http.exposure import Exposure, expose
from dibs.http.listener import listen
from dibs.mcp.server import DibsServer
from dibs.mcp.transport import http
from dibs.mcp.transport.http_servers import Servers
from dibs.settings import UNNAMED, Settings
from dibs_schema.refusals import InvalidInput
from dibs_schema.roles import Role

if TYPE_CHECKING:
    import socket


@dataclass(frozen=True, slots=True)
class Access:
    """The options of `dibs serve` that say how clients may reach the server over HTTP."""

    address: str
    tokens: bool | None
    rate: str | None
    tls_cert: str | None
    tls_key: str | None
    behind_proxy: str | None
    public_url: str | None

    def exposure(self) -> Exposure:
        """Return where the server is reached. Raises InvalidInput."""
        return expose(
            http.address(self.address or str(http.PORT)),
            tls_cert=self.tls_cert,
            tls_key=self.tls_key,
            behind_proxy=self.behind_proxy,
            public_url=self.public_url,
        )

    def authentication(self, database: Database, settings: Settings, exposure: Exposure) -> Authentication | None:
        """Return what proves who sends a request, or None if nobody is asked. Raises InvalidInput.

        On this machine, access tokens are asked for if any has been made when the server starts. If none of them works
        any longer, the server does not start: it would serve everybody as soon as the last one has ended.
        """
        from dibs.queries.access_tokens import count_access_tokens

        if exposure.is_public and self.tokens is False:
            raise InvalidInput(
                "--no-tokens: other machines reach this server, and each needs a token.", field="--tokens"
            )
        wanted = exposure.is_public or self.tokens
        if self.tokens is False:
            return None
        made, live = database.read_now(count_access_tokens)
        if not live and (made or wanted):
            fact = "all have ended" if made else "there are none"
            otherwise = "" if wanted else ", or `dibs serve --http --no-tokens` to ask nobody for one"
            raise InvalidInput(
                f"Access tokens are asked for, and {fact}. Type `dibs token create NAME --role coder`{otherwise}.",
                field="--tokens",
            )
        if not live:
            return None
        if settings.role is not Role.ALL:
            raise InvalidInput(
                "--role: each access token has its own role. Leave out --role and DIBS_ROLE.", field="--role"
            )
        named = not settings.guesses_project and settings.project != UNNAMED
        return Authentication(AccessTokens(database, settings.project if named else None), self._rate())

    def _rate(self) -> str:
        rate = self.rate or RATE
        try:
            parse(rate)
        except ValueError:
            raise InvalidInput(
                f"--rate={rate!r}: send a rate such as 100/second or 6000/minute.", field="--rate"
            ) from None
        return rate


def serve_http(settings: Settings, access: Access, *, board: bool) -> int:
    """Serve clients over HTTP until a signal arrives, and return the exit status. Raises InvalidInput."""
    exposure = access.exposure()
    if board and exposure.is_public:
        raise InvalidInput("--board: the page is for this machine alone. Run `dibs board` on it.", field="--board")
    with listen(exposure.host, exposure.port, "--http") as listening:
        database = open_database(settings)
        authentication = access.authentication(database, settings, exposure)
        server = DibsServer(database, settings, None)
        role = Role.VIEWER if settings.role is Role.VIEWER else Role.PLANNER
        on_board = settings.model_copy(update={"role": role}) if board else None
        return anyio.run(_serve, Servers(server, settings), listening, exposure, authentication, on_board)


async def _serve(
    servers: Servers,
    listening: socket.socket,
    exposure: Exposure,
    authentication: Authentication | None,
    on_board: Settings | None,
) -> int:
    """Serve clients, and the board with these settings too. Returns the exit status."""
    if on_board is None:
        return await http.serve_http(servers, listening, exposure, authentication)
    from dibs.board.server import open_board

    async with open_board([(servers.database, on_board)], listening, servers.closing) as (application, url):
        sys.stderr.write(f"dibs: the board is at {url}\n")
        return await http.serve_http(servers, listening, exposure, authentication, application)
