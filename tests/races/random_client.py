"""A client process that makes random calls on its own servers, and records them. It kills or stops some of the servers."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

from dibs.client import ServerGone, server_command
from dibs_proof.planted_bugs import buggy_server
from dibs_proof.random_workload import CONTENTION, Memory, draw
from dibs_proof.recording_client import RecordingClient

FEATURES = 8
"""The number of features at the beginning."""


class RandomCaller:
    """Random calls on one connection, on few features, so that clients compete."""

    def __init__(self, recorder: RecordingClient, chance: random.Random) -> None:
        self._recorder = recorder
        self._chance = chance
        self._memory = Memory(chance, FEATURES, recorder.name)

    async def run(self, calls: int | None = None) -> None:
        """Make the given number of calls, or calls without end. Raises ServerGone."""
        while calls is None or calls > 0:
            tool, arguments = draw(self._memory, CONTENTION)
            answer = await self._recorder.ask(tool, **arguments)
            if answer.get("error", {}).get("code") == "claim_lost":
                self._memory.end_claim(answer["error"].get("id"))
            else:
                self._memory.learn(answer)
            await asyncio.sleep(self._chance.uniform(0, 0.01))
            calls = None if calls is None else calls - 1


async def use_server(recorder: RecordingClient, caller: RandomCaller, accident: str, calls: int, lease: float) -> None:
    """Make `calls` calls, interrupt the server as `accident` says, and continue while it lives. Raises ServerGone."""
    await caller.run(calls)
    if accident == "stop":
        running = asyncio.create_task(caller.run(calls))
        recorder.stop()
        await asyncio.sleep(lease * 1.2)
        recorder.go_on()
        await running
    elif accident != "none":
        running = asyncio.create_task(caller.run())
        await asyncio.sleep(0)  # so that a call is open
        {"kill": recorder.kill, "terminate": recorder.terminate, "hang up": recorder.hang_up}[accident]()
        await running


async def use_servers(db: str, path: Path, name: str, rounds: int, lease: float, *servers: str) -> None:
    """Use one server after another. Each has an accident and the number of calls before it, such as `kill:40`."""
    chance = random.Random(name)
    for number, server in enumerate(servers * rounds):
        accident, calls = server.split(":")
        command = server_command("--db", db, "--lease", f"{lease}")
        if "DIBS_TEST_BUG" in os.environ:
            command = [*buggy_server(os.environ["DIBS_TEST_BUG"]), *command[command.index("--db") :]]
        try:
            async with RecordingClient.start(command, path, f"{name}.{number}", lease=lease) as recorder:
                await recorder.ask("feature_get_stats")
                await use_server(recorder, RandomCaller(recorder, chance), accident, int(calls), lease)
        except* ServerGone:
            pass


if __name__ == "__main__":
    db, path, name, rounds, lease, *plan = sys.argv[1:]
    asyncio.run(use_servers(db, Path(path), name, int(rounds), float(lease), *plan))
