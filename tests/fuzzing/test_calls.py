"""Generated calls of every tool get documented answers, and refused ones write nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from dibs.database import Database, open_database
from dibs.settings import Settings
from dibs_schema.operations import BY_TOOL
from dibs_schema.status import Status
from fuzzing.arguments import STAGED, Call, batches
from fuzzing.peer import TRANSPORTS, asking
from fuzzing.verdict import Tally
from fuzzing.watching import writes
from races.backlog import LONG, SEED, assert_sound, times
from verbs.stage import add, alter, depend, place, row, rule

CALLS = times(400, 22_000)
ROUNDS = times(1, 10)
"""The number of fresh backlogs: after many calls little is left to claim."""
DAY = 86_400
FLAGS = ("--lease", str(DAY), "--detached-lease", str(DAY), "--patience", "45")
BATCH = 20
"""Calls in one example, so that Hypothesis varies sequences of calls."""


def set_the_stage(database: Database) -> None:
    """Create features in every status, and dependencies between some of them."""
    rule(database, max_claims=5, max_claims_per_connection=10)
    for status in Status:
        for number in range(4):
            placed = place(database, status, category=["core", "ada"][number % 2], name=f"{status} {number}")
            if status is Status.IN_PROGRESS:  # else a claim ends its lease in a slow run, and that is written
                leased = row(database, placed.id)
                ends = {name: leased[name] + DAY for name in ("lease_ends", "lease_expires_at")}
                alter(database, placed.id, **ends)
    ids = add(database, STAGED - 4 * len(Status))
    depend(database, ids[0], *ids[1:4])
    depend(database, ids[5], ids[0])


def fuzz(transport: str, db: str, seeded: int, tally: Tally, faults: list[str]) -> None:
    """Call the tools of a server on a fresh backlog, one call after another."""
    database = open_database(Settings(db=db))
    set_the_stage(database)
    with writes(db) as written, asking(transport, db, *FLAGS) as ask:

        def answer(tool: str, arguments: dict[str, object]) -> None:
            before = written()
            message = ask(tool, arguments)
            try:
                served = tally.take(tool, message, database.label)
                assert served or written() == before, "a refused call has written"
            except AssertionError as error:
                # All faults are reported at the end: a repeated call would not find the same backlog again.
                faults.append(f"{error}\n{tool} {str(arguments)[:1_000]}\n{str(message)[:2_000]}")

        @seed(seeded)
        @settings(
            max_examples=CALLS // ROUNDS // BATCH,
            phases=[Phase.generate],
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(batches(BATCH))
        def each_is_answered(batch: list[Call]) -> None:
            for tool, arguments in batch:
                answer(tool, arguments)

        each_is_answered()
    assert_sound(database)
    database.close(patience=5)


@pytest.mark.timeout(7_200 if LONG else 300)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_every_call_is_answered_as_documented_and_a_refused_one_writes_nothing(
    new_db: Callable[[], AbstractContextManager[str]], engine: str, transport: str
) -> None:
    """Answers fit the declared schemas, and a refusal changes nothing (400 calls; 22,000 with DIBS_TEST_LONG=1)."""
    tally, faults = Tally(), list[str]()
    began = time.monotonic()
    for number in range(ROUNDS):
        with new_db() as db:
            fuzz(transport, db, SEED + number, tally, faults)
    print(f"\n{engine}, {transport}, seed {SEED}: {tally}\n  {time.monotonic() - began:.0f} s")
    assert not faults, f"DIBS_TEST_SEED={SEED}: {len(faults)} faults:\n" + "\n\n".join(faults[:12])
    assert tally.calls >= CALLS
    assert not tally.errors, "arguments of a tool are its own to refuse"
    assert set(tally.results) == set(BY_TOOL) or not LONG
