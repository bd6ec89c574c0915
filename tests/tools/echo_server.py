"""A tiny server over the transport under test; the tests run it as a process and read its standard error.

Environment: ECHO_GRACE and ECHO_HURRY (seconds), ECHO_HOLD (a file; clean-up lasts until it is gone),
ECHO_FAILS (the lifespan raises), ECHO_AFTER (a line to print at the end), ECHO_LINGERS (the process does not end
after serving), ECHO_STOCK (serves on the SDK's own transport, for comparison), ECHO_THREADS (reads and writes in two
threads, as on Windows).
"""

# ruff: noqa: E402 - the early exit comes first, as in the real command
from dibs.end_signals import install_early_exit
from dibs.mcp.transport.stdio import GRACE, HURRY, serve_stdio

install_early_exit()

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


tell("early")

import anyio
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel

from dibs.platform import standard_streams, threaded_streams


class NoDatabaseError(Exception):
    """Stands for a refusal to start."""


class EchoServer(MCPServer[None]):
    """An MCPServer on the transport under test."""

    async def run_stdio_async(self) -> None:
        if "ECHO_STOCK" in os.environ:
            await super().run_stdio_async()
        else:
            if "ECHO_THREADS" in os.environ:
                for name in standard_streams.__all__:
                    setattr(standard_streams, name, getattr(threaded_streams, name))
            grace = float(os.environ.get("ECHO_GRACE", GRACE))
            hurry = float(os.environ.get("ECHO_HURRY", HURRY))
            await serve_stdio(self._lowlevel_server, closing=closing, grace=grace, hurry=hurry)


@asynccontextmanager
async def lifespan(_server: MCPServer[None]) -> AsyncIterator[None]:
    if "ECHO_FAILS" in os.environ:
        raise NoDatabaseError
    tell("serving")
    yield
    tell("cleaning")
    hold = anyio.Path(os.environ.get("ECHO_HOLD", "/nonexistent"))
    while await hold.exists():  # noqa: ASYNC110 - the test is another process
        await anyio.sleep(0.01)
    tell("cleaned")


closing = anyio.Event()
progress = [0]
server = EchoServer("echo", lifespan=lifespan, log_level="WARNING")


@server.tool(structured_output=False)
async def noop() -> str:
    return ""


@server.tool(structured_output=False)
async def big(letter: str, size: int) -> str:
    return letter * size


@server.tool(structured_output=False)
async def length(text: str) -> int:
    return len(text)


@server.tool(structured_output=False)
async def note(text: str) -> str:
    tell(text)
    return text


@server.tool(structured_output=False)
async def nap() -> str:
    tell("napping")
    await anyio.sleep(3600)
    return "slept"


@server.tool(structured_output=False)
async def until_closing(linger: float = 0) -> str:
    await closing.wait()
    await anyio.sleep(linger)
    return "closing"


@server.tool(structured_output=False)
async def flood(ctx: Context[None], steps: int) -> str:
    """Report this many steps of progress, a kilobyte each, as fast as the client takes them."""
    for step in range(steps):
        await ctx.report_progress(step, message="." * 1000)
        progress[0] = step + 1
    return "flooded"


@server.tool(structured_output=False)
async def tell_progress() -> str:
    tell(f"after {progress[0]} steps")
    return ""


class Answer(BaseModel):
    text: str


@server.tool(structured_output=False)
async def ask(ctx: Context[None], *, late: bool) -> str:
    """Ask the client, now or after its input has ended."""
    if late:
        await closing.wait()
    try:
        answer = await ctx.elicit("Well?", Answer)
    except MCPError:
        return "nobody answered"
    return answer.data.text if answer.action == "accept" else answer.action


@server.tool(structured_output=False)
async def shout() -> str:
    """Print in every way, and read what would be the client's input."""
    print("stray print")
    os.write(1, b"stray write\n")
    child = "import sys; print('stray child', len(sys.stdin.read()))"
    subprocess.run([sys.executable, "-c", child], check=True)  # noqa: ASYNC221 - it is over at once
    return "shouted"


@server.tool(structured_output=False)
async def leave_a_child() -> int:
    child = "import time; time.sleep(3600)"
    return subprocess.Popen([sys.executable, "-c", child], close_fds=False).pid  # noqa: ASYNC220


if __name__ == "__main__":
    try:
        server.run()
    except NoDatabaseError:
        sys.exit(3)
    print(os.environ.get("ECHO_AFTER", ""), end="")
    tell("over")
    if "ECHO_LINGERS" in os.environ:
        time.sleep(3600)
