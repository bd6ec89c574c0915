"""The history checker finds bugs that are planted into a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from dibs.database import Database
from dibs_proof.history.check import check
from dibs_proof.history.history import History
from dibs_proof.history.violations import Violation
from dibs_proof.planted_bugs import IN_HISTORIES, buggy_server
from dibs_proof.read_database import read_initial_history
from dibs_proof.recording_client import RecordingClient
from races.backlog import LONG, fill
from races.test_history import prepare, recorded

Scenario = Callable[..., Awaitable[None]]
"""The calls of some clients, each with its own server."""

NEEDS_A_MOMENT = ("answer_before_commit", "skip_reads_before_its_update")
"""Bugs that appear only if a death, or two calls, happen at the same moment."""


async def late_pass(one: RecordingClient) -> None:
    """A token is used after its claim has ended and another has begun."""
    old = (await one.call("feature_mark_in_progress", feature_id=1))["token"]
    await one.call("feature_clear_in_progress", feature_id=1, claim_token=old)
    await one.call("feature_mark_in_progress", feature_id=1)
    await one.ask("feature_mark_passing", feature_id=1, claim_token=old)


async def early_claim(one: RecordingClient) -> None:
    """A feature is claimed although it depends on another."""
    await one.ask("feature_mark_in_progress", feature_id=2)


async def pass_and_resume(one: RecordingClient) -> None:
    """A passing feature is resumed as if it were claimed."""
    token = (await one.call("feature_mark_in_progress", feature_id=1, agent="ada"))["token"]
    await one.call("feature_mark_passing", feature_id=1, claim_token=token)
    await one.ask("feature_claim_and_get", feature_id=1, agent="ada", resume=True)


async def die_after_passing(one: RecordingClient, other: RecordingClient) -> None:
    """A server is killed as soon as it has acknowledged a pass, and another client asks for that feature."""
    token = (await one.call("feature_mark_in_progress", feature_id=1))["token"]
    await one.call("feature_mark_passing", feature_id=1, claim_token=token)
    one.kill()
    await other.ask("feature_mark_in_progress", feature_id=1)


async def claim_another(one: RecordingClient, other: RecordingClient) -> None:
    """A client claims one feature while another client works on a second feature."""
    token = (await one.call("feature_mark_in_progress", feature_id=1))["token"]
    await other.call("feature_mark_in_progress", feature_id=3)
    await one.ask("feature_mark_passing", feature_id=1, claim_token=token)


async def claim_the_same(one: RecordingClient, other: RecordingClient) -> None:
    """Two clients ask for the next feature."""
    await one.call("feature_claim_and_get")
    await other.call("feature_claim_and_get")


async def skip_two(one: RecordingClient) -> None:
    """Two features are skipped at the same time."""
    await asyncio.gather(
        one.call("feature_skip", feature_id=1, reason="later"),
        one.call("feature_skip", feature_id=3, reason="later"),
    )


async def break_under_a_claim(one: RecordingClient) -> None:
    """A dependency breaks while a feature is claimed, and its holder sends a heartbeat."""
    base = (await one.call("feature_mark_in_progress", feature_id=1))["token"]
    await one.call("feature_mark_passing", feature_id=1, claim_token=base)
    mine = (await one.call("feature_mark_in_progress", feature_id=2))["token"]
    await one.call("feature_mark_failing", feature_id=1, reason="it broke")
    await one.call("feature_heartbeat", feature_id=2, claim_token=mine)


@pytest.mark.only_on("sqlite", reason="the checker judges answers, which are the same on both engines")
@pytest.mark.parametrize(
    ("bug", "scenario", "kind", "feature"),
    [
        ("no_token_check", late_pass, "late_token", 1),
        ("no_dependency_guard", early_claim, "dependency", 2),
        ("answer_before_commit", die_after_passing, "no_order", 1),
        ("answer_without_commit", pass_and_resume, "change_lost", 1),
        ("reaper_without_lease_guard", claim_another, "live_claim_lost", 1),
        ("reaper_without_lease_guard", claim_the_same, "two_holders", 1),
        ("skip_reads_before_its_update", skip_two, "skip_order", 3),
        ("holders_do_not_hear", break_under_a_claim, "dependency", 2),
    ],
)
def test_a_planted_bug_is_found(
    database: Database, db: str, tmp_path: Path, bug: str, scenario: Scenario, kind: str, feature: int
) -> None:
    """The checker finds each planted bug from the answers of a server."""
    fill(database, 3, [[], [0], []])
    history = asyncio.run(played(database, db, tmp_path, bug, scenario))
    found = check(history)
    print(*found, sep="\n")
    assert [one.kind for one in found] == [kind]
    assert found[0].feature in (feature, 1)
    assert 1 <= len(found[0].calls) <= 4


async def played(database: Database, db: str, folder: Path, bug: str, scenario: Scenario) -> History:
    """Let clients of servers with the given bug play a scenario, and read the history of their answers."""
    database.read_now(read_initial_history).write(folder / "beginning.jsonl")
    command = [*buggy_server(bug), "--db", db]
    path = folder / "calls.jsonl"
    async with AsyncExitStack() as stack:
        clients = scenario.__code__.co_argcount
        starts = [RecordingClient.start(command, path, f"client-{number}") for number in range(clients)]
        recorders = [await stack.enter_async_context(start) for start in starts]
        await scenario(*recorders)
    return History.read([folder / "beginning.jsonl", path])


@pytest.mark.skipif(not LONG, reason="the scenarios above are played instead; with DIBS_TEST_LONG=1 this is too")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("bug", [one for one in sorted(IN_HISTORIES) if one not in NEEDS_A_MOMENT])
def test_a_planted_bug_is_found_by_chance(
    database: Database, db: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bug: str
) -> None:
    """A few random runs of some seconds are enough to find a bug that does not need a certain moment."""
    monkeypatch.setenv("DIBS_TEST_BUG", bug)
    prepare(database)
    found: list[Violation] = []
    for number in range(8):
        folder = tmp_path / f"run {number}"
        folder.mkdir()
        found += check(recorded(database, db, folder, rounds=1))
        if found:
            break
    print(f"found in run {number + 1}", *found, sep="\n")
    assert found


def test_every_bug_is_played() -> None:
    """No planted bug is left without a scenario."""
    marks = test_a_planted_bug_is_found.pytestmark  # type: ignore[attr-defined]  # set by pytest
    assert {case[0] for case in marks[0].args[1]} == IN_HISTORIES
