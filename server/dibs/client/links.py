"""The three links to a backlog: a session in this process, a server process, and a URL."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from functools import partial, reduce
from operator import or_
from pathlib import Path
from typing import Any, Literal, TypedDict

import anyio
import anyio.to_thread
from mcp.client import Client as ProtocolClient
from mcp.shared.exceptions import MCPError
from mcp.types import CONNECTION_CLOSED, CallToolRequest, CallToolRequestParams, CallToolResult, Implementation

from dibs.client.calls import Link, ServerGone
from dibs.client.process import Client, content_of, server_command
from dibs.database import Database, open_database
from dibs.root_folder import PROJECT_VARIABLES
from dibs.rules.claimant import new_session
from dibs.rules.holder_names import program_name
from dibs.session.caller import CallContext, Caller
from dibs.session.issued_tokens import IssuedTokens
from dibs.session.lease_keeper import LeaseKeeper
from dibs.session.python_wording import META, PYTHON
from dibs.session.session import Session, load_operations
from dibs.settings import Settings
from dibs_schema.operations import AnyOperation, Operations, adapter, read_arguments
from dibs_schema.refusals import Refusal


class Options(TypedDict, total=False):
    """The settings of the server, as options of `dibs serve`. Omitted ones come from the variables DIBS_*.

    `db` is a path or a postgresql:// URL; `lease`, `hold_limit` and `patience` are in seconds.
    """

    db: str | os.PathLike[str]
    project: str
    agent: str
    role: Literal["coder", "tester", "planner", "viewer", "all"]
    lease: float
    hold_limit: float
    patience: float
    synchronous: Literal["FULL", "NORMAL"]
    log: Literal["DEBUG", "INFO", "WARNING", "ERROR"]
    isolated: bool


@asynccontextmanager
async def own_process(options: Options) -> AsyncIterator[Link]:
    """Start a server process for this connection. Raises InvalidInput, and ServerGone if it does not start."""
    settings = _settings(options)  # the process would report invalid options only on its standard error
    flags: list[str] = []
    for name, text in _given(options).items():
        flag = "--" + name.replace("_", "-")
        flags += [flag] * (text is True) if isinstance(text, bool) else [flag, text]
    here = dict.fromkeys(PROJECT_VARIABLES, "")  # as everything else in this process, it serves the current folder
    async with Client.start(server_command(*flags), here, name=program_name()) as client:

        async def call(operation: AnyOperation, arguments: dict[str, Any]) -> Any:
            return answer_of(operation, await client.call_raw(operation.tool, arguments, META))

        yield Link(call, partial(_open_database, options), settings=settings)


@asynccontextmanager
async def in_process(options: Options) -> AsyncIterator[Link]:
    """Open a session within this process. Raises InvalidInput."""
    settings = _settings(options)
    database = open_database(settings)
    connection = new_session()
    tokens = IssuedTokens()
    session = Session(
        database, settings, Caller.on_connection(settings, connection, program_name()), tokens, wording=PYTHON
    )
    keeper = LeaseKeeper(database, settings, connection, tokens)

    async def call(operation: AnyOperation, arguments: dict[str, Any]) -> Any:
        await anyio.to_thread.run_sync(load_operations)  # which imports SQLAlchemy the first time
        try:
            answer = await session.perform(operation, read_arguments(operation, arguments))
        except Refusal as refusal:
            refusal.wording = PYTHON
            raise
        return answer.worded(PYTHON)

    async def verify(feature: int, token: str, folder: Path, evidence: Mapping[str, Any] | None) -> None:
        from dibs.session import verification

        given = read_arguments(Operations.mark_passing, {"feature_id": feature, "evidence": evidence}).evidence
        context = CallContext()
        context.folder = folder
        verified = await verification.verify(session, context, feature, token, given)
        session.verified.pop(feature, None)
        if verified is not None:
            session.verified[feature] = verified

    def release_now(_: Mapping[int, str]) -> None:
        from dibs.verbs.lease import release_session

        with suppress(Refusal):  # then the leases expire
            if tokens.any_live():
                counts = settings.claim is not None
                database.write_now(lambda tx: release_session(tx, connection, counts=counts), patience=2.0)
        database.close()

    async with anyio.create_task_group() as background:
        background.start_soon(keeper.run)
        try:
            yield Link(call, lambda: nullcontext(database), release_now=release_now, settings=settings, verify=verify)
        finally:
            session.closing.set()
            background.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await keeper.end()


@asynccontextmanager
async def over_http(url: str) -> AsyncIterator[Link]:
    """Connect to a server at a URL. Each call makes its own connection, so the server may restart between calls."""
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    info = Implementation(name=program_name(), version="1")
    timeout = httpx2.Timeout(10, read=120)  # a claim may wait 45 seconds for work, and 20 more for the database
    async with httpx2.AsyncClient(timeout=timeout) as http:

        async def call(operation: AnyOperation, arguments: dict[str, Any]) -> Any:
            # The SDK's transport cancels its task group when the network fails. So each call has its own transport,
            # and carries its error out of the task group, which would wrap it.
            outcome: CallToolResult | Exception | None = None
            try:
                transport = streamable_http_client(url, http_client=http)
                # This revision has no sessions, so a call needs no handshake.
                async with ProtocolClient(transport, client_info=info, cache=None, mode="2026-07-28") as client:
                    try:
                        outcome = await _call(client, operation.tool, arguments)
                    except (MCPError, ServerGone) as error:
                        outcome = error
            except* (httpx2.TransportError, httpx2.InvalidURL, MCPError) as failed:
                outcome = outcome or failed.exceptions[0]
            except* (anyio.BrokenResourceError, anyio.ClosedResourceError) as failed:
                outcome = outcome or failed.exceptions[0]  # a stream that ends after its answer is no failure
            if isinstance(outcome, CallToolResult) and _is_of_dibs(outcome):
                return answer_of(operation, outcome)
            cause = outcome if isinstance(outcome, BaseException) else None
            raise ServerGone(f"no answer of a Dibs server from {url}: {_message(outcome)}") from cause

        yield Link(call, renews_leases=False, release_now=lambda tokens: asyncio.run(_release_by_url(url, tokens)))


async def _release_by_url(url: str, tokens: Mapping[int, str]) -> None:
    """Release claims over a new connection, independent of the interrupted event loop."""
    async with over_http(url) as link:
        for feature, token in tokens.items():
            with suppress(Refusal, ServerGone):  # then the lease expires
                await link.call(Operations.release, {"feature_id": feature, "claim_token": token})


def answer_of(operation: AnyOperation, result: CallToolResult) -> Any:
    """Return the answer in a tool's result, or raise the Refusal in it."""
    return adapter(reduce(or_, operation.answers)).validate_python(content_of(result))


def _is_of_dibs(result: CallToolResult) -> bool:
    content = result.structured_content
    return content is not None and (not result.is_error or "error" in content)


def _message(outcome: CallToolResult | BaseException | None) -> str:
    if isinstance(outcome, CallToolResult):
        return " ".join(getattr(part, "text", "") for part in outcome.content)[:500]
    while isinstance(outcome, BaseExceptionGroup):
        outcome = outcome.exceptions[0]
    return str(outcome) or type(outcome).__name__


async def _call(client: ProtocolClient, tool: str, arguments: dict[str, Any]) -> CallToolResult:
    """Call a tool. The SDK's own method would first request its definition, but the model checks the answer here."""
    request = CallToolRequest(params=CallToolRequestParams(name=tool, arguments=arguments, _meta=META))
    try:
        return await client.session.send_request(request, CallToolResult)
    except MCPError as error:
        if error.error.code != CONNECTION_CLOSED:
            raise
        raise ServerGone("the connection ended before the server answered") from error


@contextmanager
def _open_database(options: Options) -> Iterator[Database]:
    """Open the database that the server process serves."""
    database = open_database(_settings(options))
    try:
        yield database
    finally:
        database.close(patience=5)


def _settings(options: Options) -> Settings:
    return Settings.read(_given(options))


def _given(options: Mapping[str, Any]) -> dict[str, str | bool]:
    """Return the given options as a command line would contain them."""
    return {
        name: value if isinstance(value, bool) else os.fspath(value) if name == "db" else str(value)
        for name, value in options.items()
        if value is not None
    }
