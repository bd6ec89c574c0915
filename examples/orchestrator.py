"""Run N agents on one backlog until no agent can go on: `python orchestrator.py 4 claude -p`.

Each feature is given to the command as text on standard input; status 0 passes it, any other fails it. What a person
must decide, and what failed too often, is left.
"""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, create_subprocess_exec
from contextlib import suppress

from dibs.client import Backlog, ClaimedFeature, NothingToClaim
from dibs_schema.refusals import ClaimLost

if len(sys.argv) < 3 or not sys.argv[1].isdecimal():
    sys.exit(__doc__)
workers, command = int(sys.argv[1]), sys.argv[2:]


async def build(feature: ClaimedFeature) -> None:
    """Have a feature built; here is where your harness does its own."""
    try:
        agent = await create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=STDOUT, process_group=0
        )
    except OSError as error:  # nothing is wrong with the feature, which is given back
        print(f"{command[0]}: {error.strerror}")
        raise asyncio.CancelledError from error
    try:
        said, _ = await agent.communicate(feature.model_dump_json(exclude={"claim", "evidence"}).encode())
    finally:  # also where this worker is cancelled: end the agent and all that it started
        with suppress(ProcessLookupError):
            os.killpg(agent.pid, signal.SIGKILL)
        await agent.wait()
    last = said.decode(errors="replace").strip()[-1_000:]
    if agent.returncode:
        raise RuntimeError(f"status {agent.returncode}: {last}")
    feature.evidence = last or "The agent ended with status 0."


async def work(backlog: Backlog, name: str) -> None:
    """Claim, build, pass or fail, and again, while there may be work."""
    while True:
        try:
            async with backlog.claim(agent=name, wait_seconds=5) as feature:
                print(f"{name}: {feature.id} {feature.name}")
                await build(feature)
        except (RuntimeError, ClaimLost) as error:  # it is recorded, and another attempt may follow
            print(f"{name}: {error}")
        except NothingToClaim as nothing:
            if nothing.is_final:
                print(f"{name}: {nothing}")
                return


async def main() -> None:
    """Run the workers; a signal ends their agents and gives back what they hold."""
    async with Backlog.open() as backlog, asyncio.TaskGroup() as group:
        tasks = [group.create_task(work(backlog, f"worker-{n}")) for n in range(workers)]
        for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(ending, lambda: [one.cancel() for one in tasks])
    if any(one.cancelled() for one in tasks):
        sys.exit("Stopped; what was held is given back.")


asyncio.run(main())
