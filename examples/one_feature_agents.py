"""Runs N agents at a time, each for one feature: `python one_feature_agents.py 4 claude -p "Build your feature."`.

The program claims a feature and hands the claim to an agent that it starts. The agent's MCP server, `dibs serve`, inherits
DIBS_CLAIM: it gives the agent this feature and no other, and renews the claim. The agent ends it by its own calls. If it
does not, that counts as an attempt or a failure. docs/how-to/orchestrator.md explains the parts.
"""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, create_subprocess_exec
from contextlib import suppress

from dibs.client import Backlog, Claim, NothingToClaim
from dibs_schema.refusals import AlreadyHolding, ClaimLost

TIMEOUT = 60 * 60

if len(sys.argv) < 3 or not sys.argv[1].isdecimal():
    sys.exit(__doc__)
workers, command = int(sys.argv[1]), sys.argv[2:]


async def run(environment: dict[str, str]) -> int:
    """Run an agent, and return its exit status. Its child processes end with it."""
    agent = await create_subprocess_exec(*command, stdin=DEVNULL, env=os.environ | environment, process_group=0)
    try:
        return await agent.wait()
    finally:  # also when this worker is cancelled
        with suppress(ProcessLookupError):
            os.killpg(agent.pid, signal.SIGKILL)
        await agent.wait()


async def build(claim: Claim) -> str:
    """Run an agent for a claim, and return the claim's outcome. Raises RuntimeError if the agent ended without one."""
    status = await run(await claim.hand_over())
    outcome = await claim.outcome(wait_seconds=1)
    if outcome in (None, "released"):
        raise RuntimeError(f"the agent ended with status {status} and no outcome")
    return outcome


async def work(backlog: Backlog, name: str) -> None:
    """Claim features while there may be work, and start an agent for each."""
    while True:
        claim = backlog.claim(agent=name, wait_seconds=5, timeout=TIMEOUT)
        try:
            async with claim as feature:
                print(f"{name}: {feature.id} {await build(claim)}")
        except (RuntimeError, TimeoutError, ClaimLost) as error:  # recorded as a failure; another attempt may follow
            print(f"{name}: {error}")
        except AlreadyHolding:  # a dead process had the same name; its claim ends with its lease
            await asyncio.sleep(5)
        except NothingToClaim as nothing:
            if nothing.is_final:
                print(f"{name}: {nothing}")
                return


async def main() -> None:
    """Run the workers; a signal ends their agents and releases their claims."""
    async with Backlog.open() as backlog, asyncio.TaskGroup() as group:
        tasks = [group.create_task(work(backlog, f"{os.uname().nodename}-{os.getpid()}-{n}")) for n in range(workers)]
        for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(ending, lambda: [one.cancel() for one in tasks])
    if any(one.cancelled() for one in tasks):
        sys.exit("Stopped; all claims are released.")


asyncio.run(main())
