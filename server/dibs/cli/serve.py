"""`dibs serve`: the MCP server on standard input and output, or over HTTP."""

from __future__ import annotations

import gc
import sys
from typing import Any

import click

from dibs.cli.options import say_refusals, settings_options
from dibs.root_folder import named_folder, served_folder
from dibs.settings import Settings
from dibs_schema.refusals import InvalidInput


@click.command()
@click.option(
    "--http",
    metavar="[PORT | HOST:PORT]",
    is_flag=False,
    flag_value="",
    help="Serve Streamable HTTP, to this machine if no other host is named; the default port is 3427.",
)
@click.option("--tokens/--no-tokens", default=None, help="Ask for access tokens; the default if any has been made.")
@click.option("--rate", metavar="RATE", help="How often one access token may call, as 6000/minute (the default).")
@click.option("--tls-cert", metavar="FILE", help="The certificate of the server, in PEM, with its chain.")
@click.option("--tls-key", metavar="FILE", help="The certificate's key, in PEM.")
@click.option(
    "--behind-proxy",
    metavar="[ADDRESS,...]",
    is_flag=False,
    flag_value="127.0.0.1,::1",
    help="A proxy encrypts: take requests from its addresses alone, and believe its forwarded headers.",
)
@click.option("--public-url", metavar="URL", help="The URL by which clients of other machines reach the server.")
@click.option("--board", is_flag=True, help="With --http, serve the web page of `dibs board` too.")
@settings_options(*(name for name in Settings.model_fields if name != "token"))
@say_refusals
def serve(http: str | None, *, tokens: bool | None, rate: str | None, board: bool, **flags: Any) -> None:
    """Serve the backlog to an MCP client over stdio, or to many over HTTP.

    Beyond this machine each client needs an access token (`dibs token create`), and its requests are encrypted.
    """
    exposed = {name: flags.pop(name) for name in ("tls_cert", "tls_key", "behind_proxy", "public_url")}
    gc.disable()  # imports leave no garbage; the server enables it when all is loaded
    settings = Settings.read(flags, folder=served_folder)
    if http is not None and settings.agent is not None:
        raise InvalidInput(
            "An agent's name belongs to one client, and over HTTP there are many: leave out --agent and DIBS_AGENT. "
            "Each call of feature_claim_and_get names its own agent.",
            field="--agent",
        )
    if http is not None and settings.claim is not None:
        raise InvalidInput(
            "A claim that was made for one agent belongs to one client, and over HTTP there are many: leave out --claim "
            "and DIBS_CLAIM. Each call sends its own claim_token.",
            field="--claim",
        )
    more = {"--board": board or None, "--tokens": tokens, "--rate": rate}
    more |= {"--" + name.replace("_", "-"): value for name, value in exposed.items()}
    for option, value in more.items():
        if value is not None and http is None:
            raise InvalidInput(f"{option} needs --http.", field=option)
    from dibs.database import open_database
    from dibs.mcp.server import DibsServer

    if http is None:
        if sys.stdin is None or sys.stdout is None:  # Python's own sign of a descriptor that was closed at the start
            raise InvalidInput(
                "Standard input or output is closed, and there an MCP client speaks with the server that it starts. "
                "`dibs serve --http` needs neither.",
                field="stdin",
            )
        from dibs.rules.claimant import new_session

        if named_folder() is not None or (settings.db is not None and not settings.guesses_project):
            DibsServer(open_database(settings), settings, new_session()).run("stdio")
            return
        server = DibsServer.asking_for_roots(settings, new_session())
        server.run("stdio")
        if (refusal := server.refusal) is not None:
            raise refusal
        return
    from dibs.cli.serve_http import Access, serve_http

    access = Access(http, tokens=tokens, rate=rate, **exposed)
    sys.exit(serve_http(settings, access, board=board))
