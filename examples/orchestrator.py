"""Runs N agents on one backlog until there is no work for an agent: `python orchestrator.py 4 claude -p`.

The command gets each feature as JSON on standard input. Exit status 0 passes the feature, any other fails it. Features
that wait for a person, or failed too often, stay as they are. Start it as often as you like: each process has its own
names. docs/how-to/orchestrator.md explains the parts.
"""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, create_subprocess_exec
from contextlib import suppress

from dibs.client import Backlog, ClaimedFeature, NothingToClaim
from dibs_schema.refusals import AlreadyHolding, ClaimLost

if len(sys.argv) < 3 or not sys.argv[1].isdecimal():
    sys.exit(__doc__)
workers, command = int(sys.argv[1]), sys.argv[2:]


async def build(feature: ClaimedFeature) -> None:
    """Let an agent build a feature; replace this by your own code."""
    try:
        agent = await create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=STDOUT, process_group=0)
    except OSError as error:  # nothing is wrong with the feature, so release it
        print(f"{command[0]}: {error.strerror}")
        raise asyncio.CancelledError from error
    try:
        output, _ = await agent.communicate(feature.model_dump_json(exclude={"claim", "evidence"}).encode())
    finally:  # also when this worker is cancelled: kill the agent and all its child processes
        with suppress(ProcessLookupError):
            os.killpg(agent.pid, signal.SIGKILL)
        await agent.wait()
    last = output.decode(errors="replace").strip()[-1_000:]
    if agent.returncode:
        raise RuntimeError(f"status {agent.returncode}: {last}")
    feature.evidence = last or "The agent ended with status 0."


async def work(backlog: Backlog, name: str) -> None:
    """Claim, build, and pass or fail features while there may be work."""
    while True:
        try:
            async with backlog.claim(agent=name, wait_seconds=5) as feature:
                print(f"{name}: {feature.id} {feature.name}")
                await build(feature)
        except (RuntimeError, ClaimLost) as error:  # the failure is recorded, and another attempt may follow
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
