"""Real processes race for features on the same files, and no two claims overlap."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from dibs.database import Database, SnapshotNeeded, open_database
from dibs.database.transaction import Transaction
from dibs.rules.claimant import Holder
from dibs.settings import Settings
from dibs.verbs import claim
from dibs.verbs.create import create_bulk
from dibs_schema.answers import Claimed, Idle
from dibs_schema.inputs import NewFeature
from races.backlog import assert_sound, events_of, row, times
from races.servers import ServerClient, StartServer, up
from races.test_waiting import assert_prompt, wait_for_work

FEATURES = times(24, 400)
PROCESSES = times(4, 16)
WAYS = [["part{}/**"], ["part{}/a.py"], ["part{}", "elsewhere/{}"], ["part{}/*.py", "lib{}.py"]]
"""The ways to name one part in `paths`; any two of them overlap."""


def part_of(number: int) -> int | None:
    """Return the part that a feature changes. Every seventh feature names no files."""
    return None if number % 7 == 0 else number % 4


def paths_of(number: int) -> list[str]:
    """Return a feature's paths, in one of the ways to name its part."""
    part = part_of(number)
    return [] if part is None else [path.format(part) for path in WAYS[number // 4 % len(WAYS)]]


def plan(database: Database, paths: list[list[str]]) -> None:
    """Create a feature for each of the lists of paths."""
    batch = [
        NewFeature(category="c", name=f"feature {n}", description="d", steps=["s"], paths=one)
        for n, one in enumerate(paths, 1)
    ]
    database.write_now(lambda tx: create_bulk(tx, "test", batch))


def live_together(events: Any) -> tuple[int, int]:
    """Return the greatest number of live claims, and the number of claims that overlapped another claim."""
    live: set[int] = set()
    most = clashes = 0
    for event in events:
        feature, at = event["feature_id"], event["to_status"]
        if event["kind"] == "claim":
            part = part_of(feature)
            clashes += part is not None and any(part_of(other) == part for other in live)
            live.add(feature)
            most = max(most, len(live))
        elif at != "in_progress":
            live.discard(feature)
    return most, clashes


@pytest.mark.timeout(300)
def test_no_two_live_claims_are_ever_on_one_file(database: Database, start: StartServer) -> None:
    """Many agents claim at once, with and without names, and no two claims overlap in files.

    The event log has the claims of features with paths, and their ends, in order.
    """
    plan(database, [paths_of(number) for number in range(1, FEATURES + 1)])
    servers = up(*(start(*(["--agent", f"agent-{n}"] if n % 2 else [])) for n in range(PROCESSES)))

    def work(server: ServerClient) -> int:
        rounds = 0
        while (answer := server.call("feature_claim_and_get", wait_seconds=20))["state"] != "complete":
            if answer["state"] != "claimed":
                continue
            rounds += 1
            feature = answer["feature"]
            move = {"feature_id": feature["id"], "claim_token": answer["claim"]["token"]}
            time.sleep(0.01)
            first = "attempts" not in feature
            if first and feature["id"] % 5 == 1:
                server.call("feature_clear_in_progress", **move)
            elif first and feature["id"] % 5 == 2:
                server.call("feature_skip", reason="later", **move)
            else:
                server.call("feature_mark_passing", **move)
        return rounds

    with ThreadPoolExecutor(PROCESSES) as pool:
        rounds = list(pool.map(work, servers))  # a refusal of any kind would be raised here
    assert all(rounds), "each had a part in it"
    most, clashes = live_together(events_of(database))
    assert clashes == 0
    assert most > 1, "they worked at the same time"
    assert {row(database, number)["status"] for number in range(1, FEATURES + 1)} == {"passing"}
    assert_sound(database)


@pytest.fixture
def other(db: str) -> Iterator[Database]:
    """The connections of another process to the same backlog."""
    opened = open_database(Settings(db=db))
    yield opened
    opened.close(patience=5)


def claim_while(database: Database, *acts: Callable[[], object]) -> Claimed | Idle:
    """Claim the next feature. After each look at the queue, and before the claim that follows, comes the next act."""
    left = list(acts)

    def look(tx: Transaction, *, read: Callable[[Transaction], object]) -> object:
        found = read(tx)
        if left:
            left.pop(0)()
        return found

    def verb(tx: Transaction) -> Claimed | Idle:
        try:
            return claim.claim(tx, Holder("late", named=True, session=None, lease=60))
        except SnapshotNeeded as needed:
            raise SnapshotNeeded(partial(look, read=needed.read)) from None

    answer = database.write_now(verb)
    assert not left, "every act had its turn"
    return answer


def claims_of_others(other: Database, *features: int) -> Callable[[], None]:
    """Return an act: another process claims the features, each under a name of its own."""

    def act() -> None:
        for feature in features:
            who = Holder(f"other {feature}", named=True, session=None, lease=60)
            other.write_now(partial(claim.claim, holder=who, feature=feature))

    return act


def test_what_was_chosen_on_a_snapshot_is_not_claimed_if_its_files_were_claimed_since(
    database: Database, other: Database
) -> None:
    """The claim goes on with the next candidate whose files are still free."""
    plan(database, [["a"], ["a/x"], ["b"], ["b/x"], ["c"]])
    claims_of_others(other, 1)()
    answer = claim_while(database, claims_of_others(other, 4))  # overlaps with 3, the first candidate
    assert isinstance(answer, Claimed)
    assert answer.feature.id == 5
    assert_sound(database)


@pytest.mark.parametrize("spare", [1, 0], ids=["one is left", "nothing is left"])
def test_a_claim_that_loses_every_candidate_looks_again(
    database: Database, other: Database, monkeypatch: pytest.MonkeyPatch, spare: int
) -> None:
    """However often others are faster, the claim gets what is left; it reports that nothing is only if that is so."""
    monkeypatch.setattr(claim, "CANDIDATES", 1)
    plan(database, [["a"], ["a/x"], *([f"b{number}"] for number in range(claim.MOST_LOOKS + spare))])
    claims_of_others(other, 1)()
    answer = claim_while(database, *(claims_of_others(other, 3 + look) for look in range(claim.MOST_LOOKS)))
    if spare:
        assert isinstance(answer, Claimed)
        assert answer.feature.id == 3 + claim.MOST_LOOKS
    else:
        assert answer.state == "waiting_for_claims"
    assert_sound(database)


ENDS = [
    ("feature_mark_passing", {}),
    ("feature_request_human_input", {"prompt": "?", "fields": [{"id": "a", "label": "a"}]}),
]
"""The ends of a claim after which no other feature becomes ready."""


@pytest.mark.timing
def test_a_waiting_claim_wakes_when_files_become_free(database: Database, start: StartServer) -> None:
    """Every end of a claim on its files wakes a waiting claim within the promised time."""
    plan(database, [path for n in range(len(ENDS)) for path in ([f"part{n}"], [f"part{n}/a.py"])] + [["z"]])
    holder, waiter = up(start(), start())
    holder.call("feature_mark_in_progress", feature_id=2 * len(ENDS) + 1)  # so that some agent always has a claim
    for number in range(len(ENDS)):
        holder.call("feature_mark_in_progress", feature_id=2 * number + 1)
    delays = []
    for number, (tool, more) in enumerate(ENDS):
        waiting = wait_for_work(waiter)
        ended = holder.send(tool, feature_id=2 * number + 1, **more)
        holder.answer(ended)
        got = waiter.answer(waiting)["feature"]["id"]
        delays.append(waiter.arrival(waiting) - holder.arrival(ended))
        assert got == 2 * number + 2
    assert_prompt(delays)
