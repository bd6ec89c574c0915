"""Run N agents on one backlog until nothing is left: `python orchestrator.py 4 claude -p`.

Each feature is given to the command as text on standard input; status 0 passes it, any other fails it.
"""

import asyncio
import sys
from asyncio.subprocess import PIPE, STDOUT

from dibs.client import Backlog, ClaimedFeature, NothingToClaim
from dibs_schema.refusals import ClaimLost

workers, command = int(sys.argv[1]), sys.argv[2:]


async def build(feature: ClaimedFeature) -> None:
    """Have a feature built; here is where your harness does its own."""
    agent = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=STDOUT)
    try:
        said, _ = await agent.communicate(feature.model_dump_json(exclude={"claim", "evidence"}).encode())
    finally:  # also where this worker is cancelled
        if agent.returncode is None:
            agent.kill()
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
    """Run the workers; Ctrl-C gives back what they hold."""
    async with Backlog.open() as backlog, asyncio.TaskGroup() as group:
        for number in range(workers):
            group.create_task(work(backlog, f"worker-{number}"))


asyncio.run(main())
