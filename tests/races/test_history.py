"""What real client processes are told, while servers are killed and stopped, fits into one order for each feature."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from dibs.database import Database
from dibs_proof.history.check import check
from dibs_proof.history.history import History
from dibs_proof.history.initial_state import beginning
from races.backlog import assert_sound, fill, rule, times
from races.player import FEATURES

PLAYER = Path(__file__).with_name("player.py")
LEASE = 2.5
LIVES = (["none:150"], ["kill:50", "none:50"], ["stop:25", "hang up:40"])
"""What happens to the servers of each client process, one after another, and after how many turns."""


@pytest.mark.timeout(600)
def test_what_clients_are_told_fits_into_one_order(database: Database, db: str, tmp_path: Path) -> None:
    """Random calls of several processes, whose servers die and stand still, make a history that can be true.

    Over a few seconds; over about a minute with DIBS_TEST_LONG=1.
    """
    prepare(database)
    history = play(database, db, tmp_path, rounds=times(1, 12))
    told = Counter(call.code or ("lost" if call.lost else call.tool) for call in history.calls)
    print(f"{len(history.calls)} calls: {dict(told.most_common())}")
    assert len(told) > 15, "the calls met with much"
    assert told["lost"] > 0
    assert "\n".join(map(str, check(history))) == ""
    assert_sound(database)


def prepare(database: Database) -> None:
    """A few features, some of which wait for others, and rules that are soon reached."""
    chance = random.Random(3)
    fill(database, FEATURES, [chance.sample(range(n), min(n, chance.randrange(3))) for n in range(FEATURES)])
    for name, value in {"back_off": 1, "max_failures": 4, "max_skips": 4}.items():
        rule(database, name, value)


def play(database: Database, db: str, folder: Path, rounds: int) -> History:
    """Let several client processes play at once, and read what they were told."""
    database.read_now(beginning).write(folder / "beginning.jsonl")
    paths = [folder / f"player-{number}.jsonl" for number in range(len(LIVES))]
    players = [
        subprocess.Popen(
            [sys.executable, str(PLAYER), db, str(path), path.stem, f"{rounds}", f"{LEASE}", *lives]
        )
        for path, lives in zip(paths, LIVES, strict=True)
    ]
    try:
        assert [player.wait() for player in players] == [0] * len(players)
    finally:
        for player in players:
            player.kill()
            player.wait()
    return History.read([folder / "beginning.jsonl", *paths])
