"""A client process that calls random tools on servers of its own, and keeps a record; some servers it kills or stops."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path
from typing import Any

from dibs.client import ServerGone, server_command
from dibs_proof.history.recorder import Recorder

sys.path.insert(0, str(Path(__file__).parent.parent))
from races.planted import planted_command

NEW = {"category": "c", "name": "made meanwhile", "description": "d", "steps": ["s"]}
FEATURES = 8
"""So many there are at the beginning."""
FIELDS = [{"id": "colour", "label": "Which colour?"}]


class Player:
    """Random calls on one connection, on few features, so that players get in each other's way."""

    def __init__(self, recorder: Recorder, chance: random.Random) -> None:
        self._recorder = recorder
        self._chance = chance
        self._features = FEATURES
        self._claims: list[tuple[int, str]] = []

    async def play(self, calls: int | None = None) -> None:
        """Make so many turns, or go on for ever. Raises ServerGone."""
        while calls is None or calls > 0:
            turn = self._chance.choices((self._claim, self._end, self._plan, self._look), (4, 5, 2, 1))[0]
            await turn()
            await asyncio.sleep(self._chance.uniform(0, 0.01))
            calls = None if calls is None else calls - 1

    def _feature(self) -> int:
        return self._chance.randint(1, self._features)

    async def _claim(self) -> None:
        named: dict[str, Any] = {} if self._chance.random() < 0.5 else {"feature_id": self._feature()}
        if self._chance.random() < 0.2:
            named["request_id"] = f"request {self._chance.randint(1, 40)} of {self._recorder.name}"
        if self._chance.random() < 0.2:
            named |= {"agent": self._chance.choice(["ada", "grace"]), "resume": self._chance.random() < 0.5}
        found = await self._recorder.ask("feature_claim_and_get", **named)
        if found.get("state") == "claimed":
            self._claims.append((found["feature"]["id"], found["claim"]["token"]))

    async def _end(self) -> None:
        """Move a claim on: mostly the latest, sometimes one that has ended, or without its token."""
        if not self._claims:
            return
        last = self._chance.random() < 0.8
        feature, token = self._claims[-1] if last else self._chance.choice(self._claims)
        given = {} if self._chance.random() < 0.2 else {"claim_token": token}
        moves: list[tuple[str, dict[str, Any]]] = [
            *[("feature_mark_passing", dict[str, Any]())] * 4,
            ("feature_mark_failing", {"reason": "broken"}),
            ("feature_skip", {"reason": "later"}),
            ("feature_clear_in_progress", {}),
            ("feature_heartbeat", {}),
            ("feature_request_human_input", {"prompt": "Which?", "fields": FIELDS}),
        ]
        tool, more = self._chance.choice(moves)
        await self._recorder.ask(tool, feature_id=feature, **given, **more)

    async def _plan(self) -> None:
        feature = self._feature()
        lower = max(1, feature - self._chance.randint(1, 3))
        plans: list[tuple[str, dict[str, Any]]] = [
            ("feature_mark_failing", {"reason": "a test broke"}),
            ("feature_mark_failing", {"reason": "a test broke"}),
            ("feature_mark_passing", {}),
            ("feature_skip", {"reason": "later"}),
            ("feature_clear_in_progress", {"force": True}),
            ("feature_answer_human_input", {"answers": {"colour": "blue"}}),
            ("feature_answer_human_input", {"cancel": True}),
            ("feature_update", {"archived": True}),
            ("feature_update", {"archived": False}),
            ("feature_update", {"archived": False}),
            ("feature_update", {"retry": True}),
            ("feature_update", {"retry": True}),
            ("feature_add_dependency", {"dependency_id": lower}),
            ("feature_remove_dependency", {"dependency_id": lower}),
            ("feature_set_dependencies", {"dependency_ids": [lower]}),
            ("feature_create", NEW | {"dependencies": [feature]}),
        ]
        tool, more = self._chance.choice(plans)
        named = {} if tool == "feature_create" else {"feature_id": feature}
        made = await self._recorder.ask(tool, **named, **more)
        if "ids" in made:
            self._features = max(self._features, *made["ids"])

    async def _look(self) -> None:
        looks: list[tuple[str, dict[str, Any]]] = [
            ("feature_get_by_id", {"feature_id": self._feature()}),
            ("feature_get_ready", {}),
            ("feature_search", {"limit": 50}),
        ]
        tool, more = self._chance.choice(looks)
        await self._recorder.ask(tool, **more)


async def one_life(recorder: Recorder, player: Player, accident: str, calls: int, lease: float) -> None:
    """Play until the server meets with its accident, and on while it lives. Raises ServerGone."""
    await player.play(calls)
    if accident == "stop":
        playing = asyncio.create_task(player.play(calls))
        recorder.stop()
        await asyncio.sleep(lease * 1.2)
        recorder.go_on()
        await playing
    elif accident != "none":
        playing = asyncio.create_task(player.play())
        await asyncio.sleep(0)  # so that a call is open
        {"kill": recorder.kill, "terminate": recorder.terminate, "hang up": recorder.hang_up}[accident]()
        await playing


async def lives(db: str, path: Path, name: str, rounds: int, lease: float, *lives: str) -> None:
    """One connection after another, each with its accident and after how many turns, as `kill:40`."""
    chance = random.Random(name)
    for number, life in enumerate(lives * rounds):
        accident, calls = life.split(":")
        command = server_command("--db", db, "--lease", f"{lease}")
        if "DIBS_TEST_MISTAKE" in os.environ:
            command = planted_command(os.environ["DIBS_TEST_MISTAKE"], *command[command.index("--db") :])
        try:
            async with Recorder.start(command, path, f"{name}.{number}", lease=lease) as recorder:
                await recorder.ask("feature_get_stats")
                await one_life(recorder, Player(recorder, chance), accident, int(calls), lease)
        except* ServerGone:
            pass


if __name__ == "__main__":
    db, path, name, rounds, lease, *plan = sys.argv[1:]
    asyncio.run(lives(db, Path(path), name, int(rounds), float(lease), *plan))
