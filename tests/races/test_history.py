"""The answers to real clients fit one order for each feature, while servers are killed and stopped."""

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
from dibs_proof.read_database import read_initial_history
from races.backlog import assert_sound, fill, rule, times
from races.random_client import FEATURES

LEASE = 2.5
SERVERS = (["none:150"], ["kill:50", "none:50"], ["stop:25", "hang up:40"])
"""The accidents of each client's servers, each with the number of calls before it."""


@pytest.mark.timeout(600)
def test_the_answers_fit_one_order_of_the_calls(database: Database, db: str, tmp_path: Path) -> None:
    """Random calls of several processes, whose servers are killed and stopped, make a possible history.

    Over a few seconds; over about a minute with DIBS_TEST_LONG=1.
    """
    prepare(database)
    history = recorded(database, db, tmp_path, rounds=times(1, 12))
    answers = Counter(call.code or ("lost" if call.lost else call.tool) for call in history.calls)
    print(f"{len(history.calls)} calls: {dict(answers.most_common())}")
    assert len(answers) > 15, "the calls met with many different answers"
    assert answers["lost"] > 0
    assert "\n".join(map(str, check(history))) == ""
    assert_sound(database)


def prepare(database: Database) -> None:
    """Create a few features, some of which depend on others, and set limits that are soon reached."""
    chance = random.Random(3)
    fill(database, FEATURES, [chance.sample(range(n), min(n, chance.randrange(3))) for n in range(FEATURES)])
    for name, value in {"back_off": 1, "max_failures": 4, "max_skips": 4}.items():
        rule(database, name, value)


def recorded(database: Database, db: str, folder: Path, rounds: int) -> History:
    """Let several client processes make random calls at once, and read the history of their answers."""
    database.read_now(read_initial_history).write(folder / "beginning.jsonl")
    paths = [folder / f"client-{number}.jsonl" for number in range(len(SERVERS))]
    command = [sys.executable, "-m", "races.random_client", db]
    clients = [
        subprocess.Popen(
            [*command, str(path), path.stem, f"{rounds}", f"{LEASE}", *servers],
            cwd=Path(__file__).parent.parent,
        )
        for path, servers in zip(paths, SERVERS, strict=True)
    ]
    try:
        assert [client.wait() for client in clients] == [0] * len(clients)
    finally:
        for client in clients:
            client.kill()
            client.wait()
    return History.read([folder / "beginning.jsonl", *paths])
